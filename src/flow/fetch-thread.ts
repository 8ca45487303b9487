/**
 * A thread that fetches blocks of one chain, and parses, checks and proves them. It decides nothing: what a block
 * has to prove is judged by the one who asked, and what fails here is fetched by that one again.
 */
import { parentPort, workerData } from "node:worker_threads";
import { coerceError } from "../core/errors.ts";
import { loadFastKeccak } from "../core/keccak.ts";
import { type AddressLook, lookInto } from "../matcher/address-table.ts";
import { createBlockClaims } from "../rpc/block-claims.ts";
import { createChainNodes } from "../rpc/chain-nodes.ts";
import { systemClock } from "../runtime/clock.ts";
import type { LogFields, Logger } from "../runtime/logger.ts";
import type { ClaimedBlock, FetchedChain, FromThread, ToThread } from "./fetch-messages.ts";
import { readBlock } from "./read-block.ts";

/** How often the head is looked at: near it, other nodes may be on other branches. */
const HEAD_MS = 10_000;

const chain = workerData as FetchedChain;
const claims = createBlockClaims(chain.verification);
const nodes = createChainNodes({
  chain,
  clock: systemClock,
  logger: loggerToParent({}),
  verifier: claims.verifier,
  // Whoever asked tries again, in its own time.
  retry: { rounds: 1 },
});
const underWay = new Map<number, AbortController>();
let table: AddressLook | undefined;
let lookingAtHead: { readonly at: number; readonly seen: Promise<unknown> } | undefined;

await loadFastKeccak();
parentPort?.on("message", (message: ToThread) => {
  if (message.kind === "watch") table = lookInto(message.table);
  else if (message.kind === "fetch") void answer(message.id, message.number);
  else underWay.get(message.id)?.abort();
});

async function answer(id: number, number: bigint): Promise<void> {
  const cancel = new AbortController();
  underWay.set(id, cancel);
  try {
    tell({ kind: "block", id, block: await fetchClaimed(number, cancel.signal) });
  } catch (rawError) {
    tell({ kind: "failed", id, reason: coerceError(rawError).message });
  } finally {
    underWay.delete(id);
  }
}

async function fetchClaimed(number: bigint, signal: AbortSignal): Promise<ClaimedBlock> {
  if (table === undefined) throw new Error("It was asked for a block before it had a table of addresses");
  await lookAtHead();
  const reading = {
    nodes: nodes.backfill,
    nativeSource: chain.nativeSource,
    internal: chain.internal,
    table,
  };
  const { header, verification, transfers } = await readBlock(reading, number, signal);
  return { header, transfers, claim: claims.claimOf(verification) };
}

/** The nodes share the work only below a head that is known. */
function lookAtHead(): Promise<unknown> {
  const now = systemClock.monotonic();
  if (lookingAtHead === undefined || now - lookingAtHead.at > HEAD_MS) {
    const seen = nodes.head();
    lookingAtHead = { at: now, seen };
    // Those who wait for it are told; the next one looks again.
    seen.catch(() => {
      lookingAtHead = undefined;
    });
  }
  return lookingAtHead.seen;
}

function loggerToParent(common: LogFields): Logger {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (sentence: string, fields: LogFields = {}) =>
      tell({ kind: "log", level, sentence, fields: { ...common, ...fields } });
  return {
    debug: () => undefined,
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    writes: (level) => level !== "debug",
    with: (fields) => loggerToParent({ ...common, ...fields }),
  };
}

function tell(message: FromThread): void {
  parentPort?.postMessage(message);
}
