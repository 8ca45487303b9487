/** Finds the transaction that used up a sender's nonce, among the last blocks. */
import type { Address, Hash } from "../../core/hex.ts";
import {
  AnswerRefused,
  isFields,
  readAddress,
  readFields,
  readHash,
  readList,
  readSafeNumber,
} from "../answer.ts";
import { blockNumberParameter } from "../check-block.ts";
import type { Ask } from "../json-rpc.ts";

export interface NonceUse {
  /** A transaction of this sender with this nonce, or a higher one, is in a block. */
  readonly isUsed: boolean;
  /** Which one it was, where a block near the head holds it. */
  readonly by: Hash | null;
}

/** Nodes keep the state of their last 128 blocks; half of that is asked for. Six questions find the block. */
const BLOCKS_BACK = 64n;

/** @throws {DepositdError | AnswerRefused} */
export async function findNonceUse(
  ask: Ask,
  sender: Address,
  nonce: bigint,
  signal?: AbortSignal,
): Promise<NonceUse> {
  const countAt = async (block: string): Promise<bigint> => {
    const count = await ask("eth_getTransactionCount", [sender, block], signal);
    return BigInt(readSafeNumber({ count }, "count"));
  };
  if ((await countAt("latest")) <= nonce) return { isUsed: false, by: null };

  const head = BigInt(readSafeNumber({ head: await ask("eth_blockNumber", [], signal) }, "head"));
  let unused = head > BLOCKS_BACK ? head - BLOCKS_BACK : 0n;
  let used = head;
  if ((await countAt(blockNumberParameter(unused))) > nonce) return { isUsed: true, by: null };
  while (used - unused > 1n) {
    const middle = (used + unused) / 2n;
    if ((await countAt(blockNumberParameter(middle))) > nonce) used = middle;
    else unused = middle;
  }
  const block = await ask("eth_getBlockByNumber", [blockNumberParameter(used), true], signal);
  return { isUsed: true, by: block === null ? null : findInBlock(block, sender, nonce) };
}

function findInBlock(block: unknown, sender: Address, nonce: bigint): Hash | null {
  const transactions = readList(readFields(block, "The block")["transactions"], "The list of transactions");
  for (const transaction of transactions) {
    if (!isFields(transaction)) throw new AnswerRefused("A transaction is not an object");
    if (readAddress(transaction, "from") !== sender) continue;
    if (BigInt(readSafeNumber(transaction, "nonce")) === nonce) return readHash(transaction, "hash");
  }
  return null;
}
