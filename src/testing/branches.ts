/**
 * Blocks with chosen transactions, and competing branches made of them.
 *
 * The way to a branch that works in every anvil: snapshot → mine A → revert → mine B with other timestamps.
 * (`anvil_reorg` was faulty in several releases.) Base fees are set, because a revert does not bring the old one
 * back; so the same transactions at the same timestamps make a block with the same hash again.
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
  /** anvil's snapshot; each revert uses one up, so it changes. */
  snapshotId: string;
  /** How many branches were mined from here. */
  branches: number;
}

type Mining = "auto" | "manual" | { readonly blockTimeSeconds: number };

const BASE_FEE_WEI = 1_000_000_000n;

export interface Branches {
  head(): Promise<BlockHeader>;
  headerAt(blockNumber: bigint): Promise<BlockHeader>;
  mine(count?: number): Promise<BlockHeader>;
  mineBlock(block?: BranchBlock): Promise<BlockHeader>;
  forkPoint(): Promise<ForkPoint>;
  mineBranch(point: ForkPoint, blocks: readonly BranchBlock[]): Promise<BlockHeader[]>;
}

export function createBranches(request: Request, mining: Mining): Branches {
  const head = () => readHeader(request, "latest");

  const mine = async (count = 1) => {
    await request("anvil_mine", [hex(count)]);
    return head();
  };

  const mineBlock = (block: BranchBlock = {}) =>
    withoutMining(request, mining, () => mineOne(request, block));

  const forkPoint = async (): Promise<ForkPoint> => ({
    block: await head(),
    snapshotId: await request<string>("evm_snapshot"),
    branches: 0,
  });

  const mineBranch = (point: ForkPoint, blocks: readonly BranchBlock[]) =>
    withoutMining(request, mining, async () => {
      await returnTo(request, point);
      let parent = point.block;
      const mined: BlockHeader[] = [];
      for (const block of blocks) {
        // The first timestamp differs from branch to branch, so that their blocks never share a hash.
        const step = parent === point.block ? 1 + point.branches : 1;
        parent = await mineOne(request, { timestamp: parent.timestamp + step, ...block });
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

async function mineOne(request: Request, block: BranchBlock): Promise<BlockHeader> {
  const sent: Hash[] = [];
  for (const transaction of block.transactions ?? []) {
    sent.push(
      await request<Hash>("eth_sendRawTransaction", [
        typeof transaction === "string" ? transaction : transaction.raw,
      ]),
    );
  }
  await request("anvil_setNextBlockBaseFeePerGas", [hex(BASE_FEE_WEI)]);
  if (block.timestamp !== undefined) await request("evm_setNextBlockTimestamp", [hex(block.timestamp)]);
  await request("evm_mine");
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

async function returnTo(request: Request, point: ForkPoint): Promise<void> {
  const isReverted = await request<boolean>("evm_revert", [point.snapshotId]);
  if (!isReverted) throw new Error(`anvil has no snapshot for block ${point.block.number} any more`);
  point.snapshotId = await request<string>("evm_snapshot");
  // The mempool survives a revert; what is left there would go into the new branch unasked.
  await request("anvil_dropAllTransactions");
}

/** Stops the node's own mining while `work` puts blocks together. */
async function withoutMining<Result>(
  request: Request,
  mining: Mining,
  work: () => Promise<Result>,
): Promise<Result> {
  if (mining === "auto") await request("evm_setAutomine", [false]);
  if (typeof mining === "object") await request("evm_setIntervalMining", [0]);
  try {
    return await work();
  } finally {
    if (mining === "auto") await request("evm_setAutomine", [true]);
    if (typeof mining === "object") await request("evm_setIntervalMining", [mining.blockTimeSeconds]);
  }
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
  if (found === null) throw new Error(`anvil has no block ${block}`);
  return found;
}

async function readHeader(request: Request, block: string): Promise<BlockHeader> {
  return headerOf(await readBlock(request, block));
}

function headerOf({ number, hash, parentHash, timestamp }: RawBlock): BlockHeader {
  return { number: BigInt(number), hash, parentHash, timestamp: Number(timestamp) };
}

function hex(value: number | bigint): Hex {
  return `0x${value.toString(16)}`;
}
