/** `status`: where the chains are, what is in flight, and the oldest of each. */

import { finalityWarnings } from "../../flow/finality-warnings.ts";
import { chainNotes } from "../../http/chain-notes.ts";
import type { HoldBody } from "../../http/review-answers.ts";
import {
  countDeliveriesInFlight,
  countDepositsInFlight,
  countEndpoints,
  countSeenPayments,
  type DeliveriesInFlight,
  type DepositsInFlight,
  type EndpointCounts,
  listUnwellEndpoints,
  type UnwellEndpoint,
  type WaitingSeenPayments,
} from "../../http/status-store.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { Config } from "../../runtime/config/config.ts";
import { countLiveRescans, type LiveRescans } from "../../scanner/address-rescan-store.ts";
import { type ChainState, listChainStates } from "../../scanner/chain-store.ts";
import { listReportedNodes, type ReportedNode } from "../../scanner/node-state-store.ts";
import { checkProxy } from "../callbacks-checks.ts";
import { catchUpPace, paceText } from "../catch-up-pace.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import type { Finding } from "../doctor-checks.ts";
import { checkSealedSecrets } from "../doctor-secrets.ts";
import { EXIT } from "../exit-code.ts";
import { holdsText, readHolds } from "../hold-list.ts";
import { setUp } from "../setup.ts";
import { alignColumns } from "../table.ts";
import { withDatabase } from "../with-database.ts";

/** Those that wait longest; `hold list` has all of them. */
const SHOWN_HOLDS = 10;
const SHOWN_ENDPOINTS = 10;
/** A look at a proxy that does not answer holds up the rest. */
const PROXY_TIMEOUT_MS = 2_000;

export async function statusCommand(options: GlobalOptions): Promise<CommandResult> {
  const setup = await setUp(options);
  const [chains, nodes, deposits, deliveries, endpoints, unwell, rescans, seen, holds, ...found] =
    await withDatabase(setup, (database) =>
      Promise.all([
        listChainStates(database),
        listReportedNodes(database),
        countDepositsInFlight(database),
        countDeliveriesInFlight(database),
        countEndpoints(database),
        listUnwellEndpoints(database, SHOWN_ENDPOINTS),
        countLiveRescans(database),
        countSeenPayments(database),
        readHolds(database, SHOWN_HOLDS),
        checkSealedSecrets(database, setup),
        checkProxy({ config: setup.config, clock: systemClock }, PROXY_TIMEOUT_MS),
      ]),
    );
  const faults = found.flat().filter(({ level }) => level === "fail");
  const status = {
    chains: chains.map((chain) => chainStatus(chain, setup.config)),
    nodes: nodes.map(nodeStatus),
    deposits: deposits.map((each) => ({ ...each, oldestDetectedAt: each.oldestDetectedAt.toISOString() })),
    seenPayments: seen.map((each) => ({ ...each, oldestDetectedAt: each.oldestDetectedAt.toISOString() })),
    deliveries: { ...deliveries, oldestCreatedAt: deliveries.oldestCreatedAt?.toISOString() ?? null },
    callbackFaults: faults.map(({ part, found, advice }) => ({ part, found, advice })),
    endpoints,
    unwellEndpoints: unwell.map(endpointStatus),
    holds: holds.map(holdStatus),
    rescans: rescans.map((each) => ({ ...each, oldestCreatedAt: each.oldestCreatedAt.toISOString() })),
  };
  const parts = [
    chainsText(status.chains),
    ...nodesText(nodes),
    depositsText(deposits),
    ...(holds.length === 0 ? [] : [holdsText(holds)]),
    ...seenText(seen),
    deliveriesText(deliveries),
    ...faults.map(faultText),
    endpointsText(endpoints),
    ...unwellText(unwell),
    ...rescansText(rescans),
  ];
  const text = parts.join("\n\n");
  return { exitCode: EXIT.done, json: status, text };
}

function holdStatus({ deposit, heldAt, proposals }: HoldBody) {
  const { id: depositId, chainId, merchantId, reason } = deposit;
  return { depositId, chainId, merchantId, reason, heldAt, proposals };
}

function chainStatus(chain: ChainState, config: Config) {
  const { cursorNumber, headNumber } = chain;
  const configured = config.chains.find((each) => each.id === chain.chainId);
  const lag = headNumber === null || cursorNumber === null ? null : headNumber - cursorNumber;
  return {
    chainId: chain.chainId,
    name: chain.name,
    state: cursorNumber === null ? "starting" : chain.state,
    reason: chain.stateReason,
    isConfigured: configured !== undefined,
    cursorNumber: toNumber(cursorNumber),
    headNumber: toNumber(headNumber),
    lagBlocks: lag === null ? null : Math.max(0, Number(lag)),
    safeNumber: toNumber(chain.safeNumber),
    finalizedNumber: toNumber(chain.finalizedNumber),
    safeAt: chain.safeAt?.toISOString() ?? null,
    finalizedAt: chain.finalizedAt?.toISOString() ?? null,
    cursorAt: chain.cursorAt?.toISOString() ?? null,
    leaseHolder: chain.leaseHolder,
    verification: chain.verification.level,
    verificationExpected: chain.verification.expected,
    verificationAlarm: chain.verification.alarm,
    witnesses: chain.witnesses,
    witnessedNumber: toNumber(chain.witnessedNumber),
    notes: [
      ...chainNotes(chain),
      ...(configured === undefined ? [] : finalityWarnings(configured, chain, systemClock.now())),
    ],
    catchUp: catchUpPace(chain),
  };
}

function nodeStatus(node: ReportedNode) {
  return {
    ...node,
    headNumber: toNumber(node.headNumber),
    headAt: node.headAt?.toISOString() ?? null,
    reportedAt: node.reportedAt.toISOString(),
  };
}

/** Of its URL the host alone: path and query may hold a token. */
function endpointStatus({ url, isPaused, disabledReason, failingSince, ...endpoint }: UnwellEndpoint) {
  const failing = isPaused ? "failing, paused" : "failing";
  return {
    ...endpoint,
    host: URL.canParse(url) ? new URL(url).host : "-",
    state: disabledReason === null ? failing : `disabled: ${disabledReason}`,
    failingSince: failingSince?.toISOString() ?? null,
  };
}

function toNumber(number: bigint | null): number | null {
  return number === null ? null : Number(number);
}

function chainsText(chains: readonly ReturnType<typeof chainStatus>[]): string {
  if (chains.length === 0) return "No chain was followed yet.";
  const rows = chains.map((chain) => [
    `${chain.name} (${chain.chainId})`,
    chain.isConfigured ? chain.state : `${chain.state}, not configured`,
    shown(chain.cursorNumber),
    shown(chain.headNumber),
    shown(chain.lagBlocks),
    chain.finalizedAt === null || chain.finalizedNumber === null
      ? shown(chain.finalizedNumber)
      : `${chain.finalizedNumber} (${ago(new Date(chain.finalizedAt))})`,
    chain.verification ?? "-",
    chain.cursorAt === null ? "never" : ago(new Date(chain.cursorAt)),
    saidOf(chain).join(". "),
  ]);
  return alignColumns([
    ["CHAIN", "STATE", "CURSOR", "HEAD", "LAG", "FINALIZED", "PROOF", "MOVED", ""],
    ...rows,
  ]);
}

function saidOf({ reason, catchUp, notes }: ReturnType<typeof chainStatus>): string[] {
  const pace = catchUp === null ? [] : [`Catching up: ${paceText(catchUp)}`];
  return [...(reason === null ? [] : [reason]), ...pace, ...notes];
}

/** As the daemons that follow the chains report them; an old report says so. */
function nodesText(nodes: readonly ReportedNode[]): string[] {
  if (nodes.length === 0) return [];
  const rows = nodes.map((node) => [
    `${node.node} (${node.chainId})`,
    node.isLeading ? `${node.state}, followed` : node.state,
    shown(toNumber(node.headNumber)),
    node.latencyMs === null ? "-" : `${node.latencyMs} ms`,
    String(node.requestLimit),
    node.errors.length === 0 ? "none" : node.errors.join(" "),
    ago(node.reportedAt),
    node.problem ?? "",
  ]);
  return [alignColumns([["NODE", "STATE", "HEAD", "LATENCY", "AT ONCE", "ERRORS", "SEEN", ""], ...rows])];
}

function depositsText(deposits: readonly DepositsInFlight[]): string {
  if (deposits.length === 0) return "No deposits in flight.";
  const rows = deposits.map((each) => [
    String(each.chainId),
    each.status,
    String(each.count),
    ago(each.oldestDetectedAt),
  ]);
  return alignColumns([["CHAIN ID", "DEPOSITS", "COUNT", "OLDEST"], ...rows]);
}

/** Nothing at all where no mempool is watched. */
function seenText(seen: readonly WaitingSeenPayments[]): string[] {
  if (seen.length === 0) return [];
  const rows = seen.map((each) => [String(each.chainId), String(each.count), ago(each.oldestDetectedAt)]);
  return [alignColumns([["CHAIN ID", "IN THE MEMPOOL", "OLDEST"], ...rows])];
}

function deliveriesText({ dueCount, waitingCount, oldestCreatedAt }: DeliveriesInFlight): string {
  if (dueCount + waitingCount === 0) return "No deliveries in flight.";
  const oldest = oldestCreatedAt === null ? "" : `, the oldest ${ago(oldestCreatedAt)}`;
  return `${dueCount} deliveries due, ${waitingCount} waiting for their next attempt${oldest}.`;
}

/** As seen from here, and as `doctor` says it: what keeps callbacks from going out. */
function faultText({ part, found, advice }: Finding): string {
  return `Callbacks wait: ${part}: ${found}. ${advice ?? ""}`.trimEnd();
}

/** Nothing where nobody asked for the past. */
function rescansText(rescans: readonly LiveRescans[]): string[] {
  return rescans.map(
    ({ chainId, count, blocksLeft, oldestCreatedAt }) =>
      `Chain ${chainId}: looking at the past of ${count} addresses, ${blocksLeft ?? "unknown"} blocks to go, the oldest asked for ${ago(oldestCreatedAt)}.`,
  );
}

function endpointsText({ enabled, failing, paused, disabled }: EndpointCounts): string {
  const unwell = failing === 0 ? "all well" : `${failing} failing, ${paused} of them paused`;
  return `${enabled} endpoints enabled, ${unwell}; ${disabled} disabled.`;
}

/** Nothing where all are well. */
function unwellText(endpoints: readonly UnwellEndpoint[]): string[] {
  if (endpoints.length === 0) return [];
  const rows = endpoints.map((endpoint) => {
    const { id, merchantId, host, state, dueCount } = endpointStatus(endpoint);
    const since = endpoint.failingSince === null ? "-" : ago(endpoint.failingSince);
    return [id, merchantId, host, state, since, dueCount === 10_000 ? "10000 or more" : String(dueCount)];
  });
  return [alignColumns([["ENDPOINT", "MERCHANT", "HOST", "STATE", "FAILING", "DUE"], ...rows])];
}

function shown(number: number | null): string {
  return number === null ? "-" : String(number);
}

/** How long ago, in the largest whole unit. */
function ago(time: Date): string {
  const seconds = Math.max(0, Math.round((systemClock.now() - time.getTime()) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h ago` : `${Math.round(seconds / 86_400)} d ago`;
}
