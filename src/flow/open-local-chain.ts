/**
 * What is kept of a chain when its follower begins. A chain never followed before begins at its start block, with
 * the refs of the blocks before it that a reorg could still reach: without them, a reorg of the very block
 * before the start block would halt the chain.
 */
import { higherOf } from "../core/block-number.ts";
import type { BlockHeader } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { startCursor } from "../scanner/cursor-store.ts";
import type { FollowerParts } from "./follower-parts.ts";
import { type LocalChain, loadLocalChain } from "./local-chain.ts";

type OpenParts = Pick<FollowerParts, "database" | "chain" | "nodes" | "logger">;

/** @throws {TemporaryError} `node_answer_invalid` when the start block is beyond the head, or the nodes disagree */
export async function openLocalChain(
  parts: OpenParts,
  leaseToken: bigint,
  signal: AbortSignal,
): Promise<LocalChain> {
  const { database, chain, nodes } = parts;
  const kept = await loadLocalChain(database, chain.id, leaseToken, chain.reorgWindow);
  if (kept !== undefined) return kept;

  const head = await nodes.head(signal);
  const first = chain.startBlock === "latest" ? head.number : chain.startBlock;
  const before = await nodes.headerByNumber(first === 0n ? 0n : first - 1n, signal);
  if (before === null) {
    throw new TemporaryError("node_answer_invalid", "The start block is beyond the head of the chain", {
      chainId: chain.id,
      startBlock: first,
      head: head.number,
    });
  }
  const refs = [...(await parentsWithinReach(parts, before, signal)), before];
  await database.transaction((tx) => startCursor(tx, chain.id, leaseToken, refs));
  parts.logger.info("Started to follow a chain", {
    chain_id: chain.id,
    start_block: first,
    ref_count: refs.length,
  });
  const started = await loadLocalChain(database, chain.id, leaseToken, chain.reorgWindow);
  if (started === undefined)
    throw new TemporaryError("cursor_moved", "The chain's first cursor is gone", { chainId: chain.id });
  return started;
}

/** As many at once: one round trip for each dozen, where walking by hash would take one for each block. */
const HEADERS_AT_ONCE = 16n;

/** The ancestors of a block down to the finalized one or as far as the window goes, oldest first. */
async function parentsWithinReach(
  { nodes, chain }: OpenParts,
  block: BlockHeader,
  signal: AbortSignal,
): Promise<BlockHeader[]> {
  const finalized = await nodes.tag("finalized", signal);
  const windowEnd = block.number - BigInt(chain.reorgWindow) + 1n;
  const lowest = higherOf(0n, higherOf(windowEnd, finalized?.number ?? 0n));
  const parents: BlockHeader[] = [];
  let child = block;
  for (let above = block.number; above > lowest; above -= HEADERS_AT_ONCE) {
    const from = higherOf(above - HEADERS_AT_ONCE, lowest);
    const headers = await readHeaders(nodes.backfill, from, above, signal);
    for (const header of headers.reverse()) {
      if (header.hash !== child.parentHash) throw branchesMixed(child, header);
      parents.unshift(header);
      child = header;
    }
  }
  return parents;
}

/** @param to excluded */
function readHeaders(
  nodes: Pick<ChainNodes["backfill"], "headerByNumber">,
  from: bigint,
  to: bigint,
  signal: AbortSignal,
): Promise<BlockHeader[]> {
  return Promise.all(
    Array.from({ length: Number(to - from) }, async (_, index) => {
      const number = from + BigInt(index);
      const header = await nodes.headerByNumber(number, signal);
      if (header !== null) return header;
      throw new TemporaryError("node_answer_invalid", "The nodes have no block below their own head", {
        number,
      });
    }),
  );
}

function branchesMixed(child: BlockHeader, parent: BlockHeader): TemporaryError {
  return new TemporaryError(
    "node_answer_invalid",
    "Blocks that were fetched together are of different branches",
    { number: child.number, hash: child.hash, parentHash: child.parentHash, foundHash: parent.hash },
  );
}
