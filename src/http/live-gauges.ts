/** Gauges of what the database knows, read when the metrics are asked for: right also for what another process does. */
import { coerceError } from "../core/errors.ts";
import { VERIFICATIONS } from "../core/verification.ts";
import { countUnmeasured } from "../deposits/measure-store.ts";
import type { DelivererHealth } from "../flow/deliver-callbacks.ts";
import type { NodeStatus } from "../rpc/node-record.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { countLiveRescans } from "../scanner/address-rescan-store.ts";
import { listChainStates } from "../scanner/chain-store.ts";
import type { HttpParts } from "./parts.ts";
import {
  countDeliveriesInFlight,
  countEndpoints,
  countHeldDeposits,
  countRunningOrders,
  countScreeningsDue,
  countSeenPayments,
} from "./status-store.ts";

/** While the database is away the gauges vanish: an old value would look like a standing chain. */
export async function readLiveGauges(
  parts: Pick<HttpParts, "database" | "metrics" | "logger" | "nodes" | "deliverer" | "clock">,
): Promise<void> {
  const { database, metrics } = parts;
  for (const [chainId, nodes] of parts.nodes()) for (const node of nodes) setNode(metrics, chainId, node);
  setDeliverer(metrics, parts.deliverer());
  const { unmeasuredDeposits } = metrics;
  const { chainHead, chainCursor, chainLag, chainHalted, addressRescans, seenPayments } = metrics;
  const { chainVerification, chainVerificationAlarm, chainWitnessed } = metrics;
  const followed = [
    chainHead,
    chainCursor,
    chainLag,
    chainHalted,
    addressRescans,
    seenPayments,
    unmeasuredDeposits,
  ];
  const proved = [chainVerification, chainVerificationAlarm, chainWitnessed];
  const finality = [metrics.chainFinality, metrics.chainFinalityStill];
  for (const gauge of [...followed, ...proved, ...finality]) gauge.reset();
  metrics.deliveriesDue.remove();
  metrics.depositsHeld.reset();
  metrics.ordersRunning.reset();
  metrics.screeningsDue.remove();
  metrics.endpoints.reset();
  try {
    const [chains, deliveries, endpoints, rescans, seen, held, unmeasured, screeningsDue, orders] =
      await Promise.all([
        listChainStates(database),
        countDeliveriesInFlight(database),
        countEndpoints(database),
        countLiveRescans(database),
        countSeenPayments(database),
        countHeldDeposits(database),
        countUnmeasured(database),
        countScreeningsDue(database),
        countRunningOrders(database),
      ]);
    for (const { chainId, reason, count } of held)
      metrics.depositsHeld.set({ chain_id: String(chainId), reason }, count);
    for (const { chainId, status, count } of orders)
      metrics.ordersRunning.set({ chain_id: String(chainId), status }, count);
    for (const { chainId, count } of seen) seenPayments.set({ chain_id: String(chainId) }, count);
    for (const { chainId, count } of unmeasured) unmeasuredDeposits.set({ chain_id: String(chainId) }, count);
    for (const chain of chains) setChain(metrics, chain, parts.clock.now());
    for (const { chainId, count } of rescans) addressRescans.set({ chain_id: String(chainId) }, count);
    metrics.deliveriesDue.set(deliveries.dueCount);
    metrics.screeningsDue.set(screeningsDue);
    for (const [state, count] of Object.entries(endpoints)) metrics.endpoints.set({ state }, count);
  } catch (rawError) {
    parts.logger.warn("Served metrics without the database's", { error: coerceError(rawError) });
  }
}

function setNode(metrics: Metrics, chainId: number, node: NodeStatus): void {
  const labels = { chain_id: String(chainId), node: node.name };
  metrics.nodeUp.set(labels, node.state === "ok" ? 1 : 0);
  metrics.nodeAnswers.set(labels, node.answerCount);
  for (const [code, count] of Object.entries(node.errorCounts))
    metrics.nodeErrors.set({ ...labels, code }, count);
  metrics.nodeLeading.set(labels, node.isLeading ? 1 : 0);
  metrics.nodeRequestLimit.set(labels, node.requests.limit);
  metrics.nodeRequests.set({ ...labels, purpose: "head" }, node.requests.headInFlight);
  metrics.nodeRequests.set({ ...labels, purpose: "backfill" }, node.requests.backfillInFlight);
  if (node.latencyMs !== null) metrics.nodeLatencySeconds.set(labels, node.latencyMs / 1000);
  if (node.headNumber !== null) metrics.nodeHead.set(labels, Number(node.headNumber));
}

/** Nothing where it does not deliver; of a proxy nothing where there is none. */
function setDeliverer(metrics: Metrics, deliverer: DelivererHealth | null): void {
  if (deliverer === null) return;
  const { proxy, proxyAway, refusedCount, secrets } = deliverer;
  if (proxy !== null) {
    metrics.egressProxyUp.set(proxyAway === null ? 1 : 0);
    metrics.egressProxyRefused.set(refusedCount);
  }
  if (secrets !== null) metrics.endpointSecretsLost.set(secrets.lost);
}

type ChainState = Awaited<ReturnType<typeof listChainStates>>[number];

function setChain(metrics: Metrics, chain: ChainState, now: number): void {
  const { state, headNumber, cursorNumber, verification, witnesses, witnessedNumber } = chain;
  const labels = { chain_id: String(chain.chainId) };
  setFinality(metrics, { ...labels, tag: "safe" }, chain.safeNumber, chain.safeAt, now);
  setFinality(metrics, { ...labels, tag: "finalized" }, chain.finalizedNumber, chain.finalizedAt, now);
  if (verification.level !== null)
    metrics.chainVerification.set(labels, VERIFICATIONS.indexOf(verification.level));
  metrics.chainVerificationAlarm.set(labels, verification.alarm === null ? 0 : 1);
  if (witnesses > 1 && witnessedNumber !== null) metrics.chainWitnessed.set(labels, Number(witnessedNumber));
  metrics.chainHalted.set(labels, state === "halted" ? 1 : 0);
  if (headNumber !== null) metrics.chainHead.set(labels, Number(headNumber));
  if (cursorNumber !== null) metrics.chainCursor.set(labels, Number(cursorNumber));
  if (headNumber === null || cursorNumber === null) return;
  metrics.chainLag.set(labels, Math.max(0, Number(headNumber - cursorNumber)));
}

function setFinality(
  metrics: Metrics,
  labels: { readonly chain_id: string; readonly tag: string },
  number: bigint | null,
  since: Date | null,
  now: number,
): void {
  if (number !== null) metrics.chainFinality.set(labels, Number(number));
  if (since !== null) metrics.chainFinalityStill.set(labels, Math.max(0, now - since.getTime()) / 1000);
}
