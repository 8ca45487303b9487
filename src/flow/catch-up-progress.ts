/**
 * Tells how far a chain that catches up is: in the database for `status`, in the log once in a while, and to whoever
 * shows it. Meanwhile the head moves on and is looked at from time to time, so that neither it nor what waits for
 * `finalized` stands still until the end.
 */
import type { BlockHeader } from "../core/chain.ts";
import { recordBehind } from "../scanner/chain-store.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { LocalChain } from "./local-chain.ts";
import { noteHead } from "./note-head.ts";

export interface CatchUpProgress {
  /** The cursor moved. */
  note(): Promise<void>;
  /** The cursor is at the head it set out for. */
  finish(): Promise<void>;
}

/** Fewer are caught up with before anybody could look. */
const WORTH_TELLING = 100n;
const TELL_EVERY_MS = 10_000;

export async function startProgress(
  parts: FollowerParts,
  local: LocalChain,
  target: BlockHeader,
  signal: AbortSignal,
): Promise<CatchUpProgress> {
  const { chain, database, clock, logger } = parts;
  const from = local.cursor().number;
  const isOver = () => recordBehind(database, chain.id, local.leaseToken, false);
  if (target.number - from < WORTH_TELLING) return { note: async () => undefined, finish: isOver };
  const startedAt = clock.monotonic();
  let toldAt = startedAt;
  let head = target;

  await recordBehind(database, chain.id, local.leaseToken, true);
  await noteHead(parts, local, head, signal);
  const show = () => {
    const done = Number(local.cursor().number - from);
    parts.onCatchUp?.({ chainId: chain.id, name: chain.name, done, total: Number(head.number - from) });
    return done;
  };
  show();
  return {
    note: async () => {
      const done = show();
      if (clock.monotonic() - toldAt < TELL_EVERY_MS) return;
      toldAt = clock.monotonic();
      head = await parts.nodes.head(signal);
      await noteHead(parts, local, head, signal);
      const pace = paceOf(done, Number(head.number - local.cursor().number), toldAt - startedAt);
      const fields = { chain_id: chain.id, block_number: local.cursor().number, head_number: head.number };
      logger.info("Caught up further", { ...fields, ...pace });
    },
    finish: async () => {
      await isOver();
      const fields = { chain_id: chain.id, block_number: local.cursor().number, block_count: show() };
      logger.info("Caught up", { ...fields, duration_ms: Math.round(clock.monotonic() - startedAt) });
    },
  };
}

function paceOf(done: number, left: number, ms: number) {
  const perSecond = (done * 1000) / ms;
  return {
    percent: Math.floor((100 * done) / Math.max(1, done + left)),
    blocks_per_second: Number(perSecond.toPrecision(3)),
    seconds_left: perSecond === 0 ? null : Math.round(left / perSecond),
  };
}
