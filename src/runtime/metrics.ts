/**
 * Every metric there is. Labels come from lists that configuration or code bounds (chain ids, statuses, methods);
 * never a user, an address, a URL or an endpoint: each value of a label is a series that Prometheus keeps.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type Metrics = ReturnType<typeof createMetrics>;

/** From one request on the same machine to a node that is about to be given up. */
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** From "in the same instant" to a chain that is an hour behind. */
const LAG_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600];

/** Each call makes its own registry, so that tests do not share counts. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge({ name: `depositd_${name}`, help, labelNames, registers });
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Counter({ name: `depositd_${name}`, help, labelNames, registers });
  const histogram = <Label extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly Label[] = [],
  ) => new Histogram({ name: `depositd_${name}`, help, labelNames, buckets, registers });

  collectDefaultMetrics({ register: registry });
  return {
    /** The page at `/metrics`. */
    contentType: registry.contentType,
    text: (): Promise<string> => registry.metrics(),

    // following a chain; the first six are read from the database when the page is asked for
    chainHead: gauge("chain_head_block", "Newest block that a node reports.", ["chain_id"]),
    chainCursor: gauge("chain_cursor_block", "Last block whose ingest is committed.", ["chain_id"]),
    chainLag: gauge("chain_lag_blocks", "Blocks between head and cursor.", ["chain_id"]),
    chainFinality: gauge(
      "chain_finality_block",
      "The block that the nodes call safe or finalized, as far as it is on our branch.",
      ["chain_id", "tag"],
    ),
    chainFinalityStill: gauge("chain_finality_still_seconds", "How long ago that block was another one.", [
      "chain_id",
      "tag",
    ]),
    chainHalted: gauge("chain_halted", "1 while the chain waits for an operator.", ["chain_id"]),
    chainVerification: gauge(
      "chain_verification_level",
      "How much of the newest block is proved: 2 all, 1 by its bloom, 0 nothing.",
      ["chain_id"],
    ),
    chainVerificationAlarm: gauge(
      "chain_verification_alarm",
      "1 while less of the blocks is proved than the chain was seen to reach.",
      ["chain_id"],
    ),
    chainWitnessed: gauge(
      "chain_witnessed_block",
      "Newest block that as many nodes hold as the config asks for.",
      ["chain_id"],
    ),
    verificationDrops: counter(
      "verification_drops_total",
      "How often less of a block was proved than of those before it.",
      ["chain_id"],
    ),
    verificationRefusals: counter(
      "verification_refusals_total",
      "Blocks of a node that were refused for what they did not prove.",
      ["chain_id", "node"],
    ),
    blocksIngested: counter("blocks_ingested_total", "Blocks whose ingest was committed.", ["chain_id"]),
    transfersSeen: counter(
      "transfers_seen_total",
      "Transfers of value in those blocks, whoever received them.",
      ["chain_id"],
    ),
    depositsSeen: counter(
      "deposits_seen_total",
      "Deposits written at ingest, by the status they began with.",
      ["chain_id", "status"],
    ),
    blockToRowSeconds: histogram(
      "block_to_row_seconds",
      "From a block's own time to its committed ingest.",
      LAG_SECONDS,
      ["chain_id"],
    ),
    unmeasuredDeposits: gauge(
      "unmeasured_deposits",
      "Deposits of tokens whose balance counts that wait to be measured.",
      ["chain_id"],
    ),
    addressRescans: gauge(
      "address_rescans",
      "Addresses whose past is still to be looked at, as their watchFrom asked.",
      ["chain_id"],
    ),
    rescanBlocks: counter("rescan_blocks_total", "Blocks that were looked at again for watchFrom.", [
      "chain_id",
    ]),
    finalityLost: counter(
      "finality_lost_total",
      "How often safe or finalized went back, or was not known any more.",
      ["chain_id", "tag"],
    ),
    reorgs: counter("reorgs_total", "Branches that were left.", ["chain_id"]),
    reorgBlocks: counter("reorg_blocks_total", "Blocks on the branches that were left.", ["chain_id"]),

    reversalShortfalls: counter(
      "reversal_shortfalls_total",
      "Reversed deposits whose user had spent some of the amount: each left a receivable.",
      ["chain_id"],
    ),

    // payments that wait in the mempool; the first is read from the database
    seenPayments: gauge("seen_payments", "Payments that wait in the mempool.", ["chain_id"]),
    seenPaymentMoves: counter(
      "seen_payment_moves_total",
      "Status changes of seen payments: seen, mined, replaced, dropped.",
      ["chain_id", "status"],
    ),
    mempoolUp: gauge("mempool_up", "1 while some node lets its mempool be looked at.", ["chain_id"]),
    mempoolTransactions: counter(
      "mempool_transactions_total",
      "Waiting transactions that nodes told of: read, junk (not believed), left_out (too many at once).",
      ["chain_id", "outcome"],
    ),

    // settling
    depositMoves: counter(
      "deposit_moves_total",
      "Status changes of deposits: credited, held, rejected, unlocked, orphaned, reversed.",
      ["chain_id", "status"],
    ),
    settleSeconds: histogram(
      "settle_seconds",
      "All credits and unlocks of one look at a chain, with their commits.",
      REQUEST_SECONDS,
      ["chain_id"],
    ),

    // orders, read from the database
    ordersRunning: gauge("orders_running", "Orders that wait for their payment or their deadline.", [
      "chain_id",
      "status",
    ]),

    // review before a credit; the first and the last are read from the database
    depositsHeld: gauge(
      "deposits_held",
      "Deposits that wait for a review, by the reason they were held for.",
      ["chain_id", "reason"],
    ),
    senderListAddresses: gauge("sender_list_addresses", "Addresses in a sender list as it is in force.", [
      "file",
    ]),
    senderListAge: gauge("sender_list_age_seconds", "How long ago what is in force was read.", ["file"]),
    senderListFaulty: gauge(
      "sender_list_faulty",
      "1 while the file as it is now cannot be taken, and what was read before holds.",
      ["file"],
    ),

    screeningAttempts: counter(
      "screening_attempts_total",
      "Questions to the screening service, by outcome: approve, hold, reject, failed, no_answer (failed for the last time).",
      ["outcome"],
    ),
    screeningSeconds: histogram(
      "screening_attempt_seconds",
      "One question to the screening service.",
      REQUEST_SECONDS,
    ),
    screeningsDue: gauge("screenings_due", "Deposits that wait for the screening service."),

    // telling merchants
    deliveriesDue: gauge("deliveries_due", "Deliveries whose next attempt is due."),
    endpoints: gauge(
      "endpoints",
      "Callback endpoints that are enabled (and of those failing, paused) or disabled.",
      ["state"],
    ),
    egressProxyUp: gauge(
      "egress_proxy_up",
      "0 while the egress proxy cannot be reached, so that callbacks wait.",
    ),
    egressProxyRefused: gauge(
      "egress_proxy_refused_endpoints",
      "Endpoints whose callbacks wait as the egress proxy, which is there, refuses them.",
    ),
    endpointSecretsLost: gauge(
      "endpoint_secrets_lost",
      "Endpoints whose secret cannot be opened with the keys at hand, so that their callbacks wait.",
    ),
    deliveryAttempts: counter("delivery_attempts_total", "Attempts that ended, by outcome.", ["outcome"]),
    deliveryAttemptSeconds: histogram(
      "delivery_attempt_seconds",
      "One HTTP attempt of a delivery.",
      REQUEST_SECONDS,
    ),
    deliveriesFinished: counter("deliveries_finished_total", "Deliveries that need no further attempt.", [
      "state",
    ]),
    eventToDeliverySeconds: histogram(
      "event_to_delivery_seconds",
      "From an event's commit to its delivery.",
      LAG_SECONDS,
    ),

    // nodes
    nodeAnswers: gauge("node_answers", "Questions the node answered since the start.", ["chain_id", "node"]),
    nodeErrors: gauge("node_errors", "Questions the node failed since the start, by error code.", [
      "chain_id",
      "node",
      "code",
    ]),
    nodeLatencySeconds: gauge("node_latency_seconds", "Moving average of its answers' time.", [
      "chain_id",
      "node",
    ]),
    nodeHead: gauge("node_head_block", "Newest block the node spoke of.", ["chain_id", "node"]),
    nodeLeading: gauge("node_leading", "1 while the node's branch is the one that is followed.", [
      "chain_id",
      "node",
    ]),
    nodeRequestLimit: gauge(
      "node_request_limit",
      "Requests at once that the node is asked now: it grows while answers are quick, and falls to half when it is hurt.",
      ["chain_id", "node"],
    ),
    nodeRequests: gauge("node_requests_in_flight", "Requests under way.", ["chain_id", "node", "purpose"]),
    nodeUp: gauge("node_up", "1 while its last answer was good.", ["chain_id", "node"]),

    // the queue, and what it lost
    queueNudgesLost: counter(
      "queue_nudges_lost_total",
      "Jobs that could not be added; a sweep does their work.",
      ["queue"],
    ),
    sweepFinds: counter("sweep_finds_total", "Work that a sweep found and no job had spoken of.", ["queue"]),

    // the API
    httpRequestSeconds: histogram("http_request_seconds", "One answered request.", REQUEST_SECONDS, [
      "method",
      "route",
      "status",
    ]),
  };
}
