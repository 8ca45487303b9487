/**
 * Blocks with chosen transactions, and competing branches made of them.
 *
 * The way to a branch that works in every node for developers: snapshot → mine A → revert → mine B with other
 * timestamps. (`anvil_reorg` was faulty in several releases.) What each node calls its commands is its `Miner`.
 */
import type { Hex } from "viem";
import type { BlockHeader } from "../core/chain.ts";
import type { Hash } from "../core/hex.ts";
import type { Request, SignedTransaction } from "./test-transactions.ts";

/** One block of a branch. */
export interface BranchBlock {
  /** Included in this order, before whatever waits in the mempool. */
  readonly transactions?: readonly (Hex | SignedTransaction)[];
  /** Seconds since 1970; one second after the parent if it is not given. */
  readonly timestamp?: number;
}

/** A block from which branches part. */
export interface ForkPoint {
  readonly block: BlockHeader;
  /** The node's snapshot; each revert uses one up, so it changes. */
  snapshotId: string;
  /** How many branches were mined from here. */
  branches: number;
}

/** How one kind of node makes blocks. */
export interface Miner {
  /** So many blocks, the first with what is in the mempool. */
  mine(count: number): Promise<void>;
  /** One block, in order of arrival; one second after its parent if no timestamp is given. */
  mineAt(timestamp?: number): Promise<void>;
  /** After a revert: what is left in the mempool would go into the new branch unasked. */
  emptyMempool(): Promise<void>;
  /** While the work puts blocks together, the node makes none by itself. */
  withoutOwnMining<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** Of every block that is put together here. */
export const BASE_FEE_WEI = 1_000_000_000n;

export interface Branches {
  head(): Promise<BlockHeader>;
  headerAt(blockNumber: bigint): Promise<BlockHeader>;
  mine(count?: number): Promise<BlockHeader>;
  mineBlock(block?: BranchBlock): Promise<BlockHeader>;
  forkPoint(): Promise<ForkPoint>;
  mineBranch(point: ForkPoint, blocks: readonly BranchBlock[]): Promise<BlockHeader[]>;
}

export function createBranches(request: Request, miner: Miner): Branches {
  const head = () => readHeader(request, "latest");

  const mine = async (count = 1) => {
    await miner.mine(count);
    return head();
  };

  const mineBlock = (block: BranchBlock = {}) => miner.withoutOwnMining(() => mineOne(request, miner, block));

  const forkPoint = async (): Promise<ForkPoint> => ({
    block: await head(),
    snapshotId: await request<string>("evm_snapshot"),
    branches: 0,
  });

  const mineBranch = (point: ForkPoint, blocks: readonly BranchBlock[]) =>
    miner.withoutOwnMining(async () => {
      await returnTo(request, miner, point);
      let parent = point.block;
      const mined: BlockHeader[] = [];
      for (const block of blocks) {
        // The first timestamp differs from branch to branch, so that their blocks never share a hash.
        const step = parent === point.block ? 1 + point.branches : 1;
        parent = await mineOne(request, miner, { timestamp: parent.timestamp + step, ...block });
        mined.push(parent);
      }
      point.branches += 1;
      return mined;
    });

  return {
    head,
    headerAt: (blockNumber) => readHeader(request, hex(blockNumber)),
    mine,
    mineBlock,
    forkPoint,
    mineBranch,
  };
}

async function mineOne(request: Request, miner: Miner, block: BranchBlock): Promise<BlockHeader> {
  const sent: Hash[] = [];
  for (const transaction of block.transactions ?? []) {
    sent.push(
      await request<Hash>("eth_sendRawTransaction", [
        typeof transaction === "string" ? transaction : transaction.raw,
      ]),
    );
  }
  await miner.mineAt(block.timestamp);
  const mined = await readBlock(request, "latest");
  assertIncluded(sent, mined);
  return headerOf(mined);
}

/** A test that believes a transaction is in a block where it is not tests nothing. */
function assertIncluded(sent: readonly Hash[], block: RawBlock): void {
  const order = block.transactions.filter((hash) => sent.includes(hash));
  if (order.join() !== sent.join()) {
    throw new Error(
      `Block ${block.hash} should hold [${sent.join()}] in this order, but holds [${block.transactions.join()}]`,
    );
  }
}

async function returnTo(request: Request, miner: Miner, point: ForkPoint): Promise<void> {
  const isReverted = await request<boolean>("evm_revert", [point.snapshotId]);
  if (!isReverted) throw new Error(`The node has no snapshot for block ${point.block.number} any more`);
  point.snapshotId = await request<string>("evm_snapshot");
  await miner.emptyMempool();
}

interface RawBlock {
  readonly number: string;
  readonly hash: Hash;
  readonly parentHash: Hash;
  readonly timestamp: string;
  readonly transactions: readonly Hash[];
}

async function readBlock(request: Request, block: string): Promise<RawBlock> {
  const found = await request<RawBlock | null>("eth_getBlockByNumber", [block, false]);
  if (found === null) throw new Error(`The node has no block ${block}`);
  return found;
}

async function readHeader(request: Request, block: string): Promise<BlockHeader> {
  return headerOf(await readBlock(request, block));
}

function headerOf({ number, hash, parentHash, timestamp }: RawBlock): BlockHeader {
  return { number: BigInt(number), hash, parentHash, timestamp: Number(timestamp) };
}

export function hex(value: number | bigint): Hex {
  return `0x${value.toString(16)}`;
}
