/** Finds out what became of seen payments, by asking the nodes. Changes nothing itself. */
import type { Hash } from "../core/hex.ts";
import type { SeenPayment } from "../core/seen-payment.ts";
import type { Database } from "../db/database.ts";
import { type ClaimedInclusion, confirmInclusions, type SeenMove } from "../deposits/seen-payment-store.ts";
import type { MempoolNodes } from "../rpc/mempool/mempool-nodes.ts";
import type { PendingTransaction } from "../rpc/mempool/pending-transaction.ts";
import type { Clock } from "../runtime/clock.ts";

export interface SeenExaminer {
  /**
   * Takes note of what waits: which payments there are to examine, and what else was seen with their nonce.
   *
   * @param live in the order of their ids
   */
  observe(live: readonly SeenPayment[], transactions: readonly PendingTransaction[]): void;
  /** What became of the next few of them. */
  examine(signal: AbortSignal): Promise<SeenMove[]>;
  /** Which of those that were replaced or dropped are in a block after all. */
  reexamine(givenUp: readonly SeenPayment[], signal: AbortSignal): Promise<SeenMove[]>;
}

export interface ExaminerParts {
  readonly database: Database;
  readonly chainId: number;
  readonly nodes: Pick<MempoolNodes, "whereIs" | "nonceUse">;
  readonly clock: Clock;
  /** A payment that no node has known for so long is dropped. */
  readonly dropAfterMs: number;
}

/** One look asks for so many at most, in turn: a flood of payments makes their ends late, and costs no more. */
const EXAMINED_PER_LOOK = 50;

/** What is known beside the rows; lost with the process, which makes a drop later and nothing wrong. */
interface Notes {
  /** Another transaction with the same sender and nonce, seen waiting. */
  readonly rivals: Map<string, Hash>;
  /** Since when no node knows it, by the monotonic clock. */
  readonly unknownSince: Map<string, number>;
  /** When its nonce was asked for last though a node has it waiting. */
  readonly nonceAskedAt: Map<string, number>;
}

export function createSeenExaminer(parts: ExaminerParts): SeenExaminer {
  const notes: Notes = { rivals: new Map(), unknownSince: new Map(), nonceAskedAt: new Map() };
  let live: readonly SeenPayment[] = [];
  let lastId = "";

  const nextFew = () => {
    const following = live.filter(({ id }) => id > lastId);
    const few = [...following, ...live].slice(0, Math.min(EXAMINED_PER_LOOK, live.length));
    lastId = few.at(-1)?.id ?? "";
    return few;
  };

  return {
    observe: (present, transactions) => {
      live = present;
      noteRivals(notes.rivals, present, transactions);
      const ids = new Set(present.map(({ id }) => id));
      for (const kept of Object.values(notes))
        for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id);
    },
    examine: async (signal) => {
      const moves: SeenMove[] = [];
      const claims: ClaimedInclusion[] = [];
      for (const seen of nextFew()) {
        const found = await examineOne(parts, notes, seen, signal);
        if (found === null) continue;
        if ("to" in found) moves.push(found);
        else claims.push(found);
      }
      return [...moves, ...(await confirmInclusions(parts.database, parts.chainId, claims))];
    },
    reexamine: async (givenUp, signal) => {
      const claims: ClaimedInclusion[] = [];
      for (const seen of givenUp) {
        const where = await parts.nodes.whereIs(seen.txHash, signal);
        if (where?.is === "mined") claims.push({ seen, block: where.block });
      }
      return confirmInclusions(parts.database, parts.chainId, claims);
    },
  };
}

function noteRivals(
  rivals: Map<string, Hash>,
  live: readonly SeenPayment[],
  transactions: readonly PendingTransaction[],
): void {
  if (live.length === 0) return;
  const waiting = new Map<string, SeenPayment[]>();
  for (const seen of live) {
    const key = `${seen.sender} ${seen.nonce}`;
    waiting.set(key, [...(waiting.get(key) ?? []), seen]);
  }
  for (const transaction of transactions) {
    for (const seen of waiting.get(`${transaction.from} ${transaction.nonce}`) ?? []) {
      if (seen.txHash !== transaction.hash) rivals.set(seen.id, transaction.hash);
    }
  }
}

/** Its end, a block that is said to hold it, or `null` while it waits or nobody knows. */
async function examineOne(
  parts: ExaminerParts,
  notes: Notes,
  seen: SeenPayment,
  signal: AbortSignal,
): Promise<SeenMove | ClaimedInclusion | null> {
  const { nodes, clock, dropAfterMs } = parts;
  const { rivals, unknownSince } = notes;
  const where = await nodes.whereIs(seen.txHash, signal);
  if (where === null) return null;
  if (where.is !== "unknown") unknownSince.delete(seen.id);
  if (where.is === "mined") return { seen, block: where.block };
  if (where.is === "waiting") return findOutrun(parts, notes, seen, signal);

  const since = unknownSince.get(seen.id) ?? clock.monotonic();
  unknownSince.set(seen.id, since);
  const rival = rivals.get(seen.id);
  if (rival !== undefined && (await isAnywhere(nodes, rival, signal)))
    return { seen, to: "replaced", replacedBy: rival };
  const use = await nodes.nonceUse(seen.sender, seen.nonce, signal);
  // Its own block is ahead of the node that was asked where it is.
  if (use === null || use.by === seen.txHash) return null;
  if (use.by !== null) return { seen, to: "replaced", replacedBy: use.by };
  if (clock.monotonic() - since < dropAfterMs) return null;
  return use.isUsed ? { seen, to: "replaced", replacedBy: null } : { seen, to: "dropped" };
}

/**
 * A node may go on telling of a transaction whose nonce another has taken. A block that holds the other is believed
 * over it; it is looked for when there is a rival, and now and then.
 */
async function findOutrun(
  { nodes, clock, dropAfterMs }: ExaminerParts,
  { rivals, nonceAskedAt }: Notes,
  seen: SeenPayment,
  signal: AbortSignal,
): Promise<SeenMove | null> {
  const now = clock.monotonic();
  const askedAt = nonceAskedAt.get(seen.id);
  if (askedAt === undefined) nonceAskedAt.set(seen.id, now);
  if (!rivals.has(seen.id) && now - (askedAt ?? now) < dropAfterMs) return null;
  nonceAskedAt.set(seen.id, now);
  const by = (await nodes.nonceUse(seen.sender, seen.nonce, signal))?.by ?? null;
  return by === null || by === seen.txHash ? null : { seen, to: "replaced", replacedBy: by };
}

async function isAnywhere(nodes: ExaminerParts["nodes"], hash: Hash, signal: AbortSignal): Promise<boolean> {
  const where = await nodes.whereIs(hash, signal);
  return where !== null && where.is !== "unknown";
}
