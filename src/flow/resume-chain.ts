/**
 * [tx] An operator's way out of a halted chain: it goes on at a block of the nodes' present branch. Deposits from
 * there on leave as in a reorg and are found again as the blocks are ingested anew.
 */
import { appendAudit } from "../audit/audit-store.ts";
import type { Actor } from "../core/actor.ts";
import type { BlockHeader } from "../core/chain.ts";
import { InputError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import { listDepositBlocks } from "../deposits/deposit-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { listBlockRefs } from "../scanner/block-ref-store.ts";
import { resumeChainAt } from "../scanner/chain-store.ts";
import { type Undone, undoDepositsAbove } from "./undo-reorg.ts";

/** Blocks with deposits that are compared with the nodes' before a resume; the newest below `from`. */
const COMPARED_BLOCKS = 1_000;

export interface Resumed extends Undone {
  /**
   * The newest block below `from` that is shown to be on both branches; `null`: none is. Deposits that the new branch
   * has between the two are not looked for by a resume.
   */
  readonly sameUpTo: bigint | null;
}

/**
 * @param from the first block to ingest again
 * @throws {InputError} `invalid_request` when the chain is not halted, when the nodes have no such block, or when
 * a deposit below `from` stands in a block that the nodes do not have: the branches part further down, and the
 * error says from which block on to resume
 */
export async function resumeChain(
  parts: {
    readonly database: Database;
    readonly nodes: Pick<ChainNodes, "chainId" | "headerByNumber">;
    /** Whose act it is. */
    readonly actor: Actor;
  },
  from: bigint,
): Promise<Resumed> {
  const { database, nodes, actor } = parts;
  const before = from < 1n ? null : await nodes.headerByNumber(from - 1n);
  if (before === null) {
    throw new InputError("invalid_request", `The nodes have no block ${from - 1n} to go on from`, { from });
  }
  const sameUpTo = await findSame(parts, before);
  const undone = await database.transaction((tx) => resumeIn(tx, nodes.chainId, before, actor));
  return { ...undone, sameUpTo };
}

async function resumeIn(
  tx: Parameters<typeof resumeChainAt>[0],
  chainId: number,
  before: BlockHeader,
  actor: Actor,
): Promise<Undone> {
  await resumeChainAt(tx, chainId, before);
  const undone = await undoDepositsAbove(tx, chainId, before.number);
  await appendAudit(tx, {
    actor,
    action: "chain.resume",
    subject: `chain:${chainId}`,
    detail: {
      from: Number(before.number + 1n),
      orphaned: undone.orphaned.length,
      reversed: undone.reversed.length,
    },
  });
  return undone;
}

/** Down to the first block that is the same on both branches; everything below is their common past. */
async function findSame(
  { database, nodes }: Parameters<typeof resumeChain>[0],
  before: BlockHeader,
): Promise<bigint | null> {
  const from = before.number + 1n;
  const refs = await listBlockRefs(database, nodes.chainId);
  if (refs.some(({ hash }) => hash === before.hash)) return before.number;
  let lowestGone: bigint | undefined;
  let sameUpTo: bigint | null = null;
  for (const block of await listDepositBlocks(database, nodes.chainId, from, COMPARED_BLOCKS)) {
    const theirs = await nodes.headerByNumber(block.number);
    if (theirs?.hash === block.hash) {
      sameUpTo = block.number;
      break;
    }
    lowestGone = block.number;
  }
  if (lowestGone === undefined) return sameUpTo;
  throw new InputError(
    "invalid_request",
    `The branches part below block ${from}: deposits down to block ${lowestGone} stand in blocks that are gone. ` +
      `Resume from ${lowestGone} or lower`,
    { from, resumeFrom: lowestGone },
  );
}
