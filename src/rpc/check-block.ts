/** Checks a block as `eth_getBlockByHash` and `eth_getBlockByNumber` answer it. */
import type { BlockHeader } from "../core/chain.ts";
import type { Hash } from "../core/hex.ts";
import {
  AnswerRefused,
  expectHash,
  expectNumber,
  type Fields,
  quantityOf,
  readAddress,
  readFields,
  readHash,
  readList,
  readOptionalAddress,
  readQuantity,
  readSafeNumber,
} from "./answer.ts";
import type { FetchedTransaction, FetchedWithdrawal, Quantity } from "./fetched-block.ts";

/** What was asked for; the answer must be exactly that. */
export type AskedBlock = { readonly hash: Hash } | { readonly number: bigint };

export interface CheckedBlock {
  /** The whole answer, as far as it was not needed here. */
  readonly answer: Fields;
  readonly header: BlockHeader;
  /** `null` on chains that have none. */
  readonly logsBloom: string | null;
  readonly transactions: readonly FetchedTransaction[];
  readonly withdrawals: readonly FetchedWithdrawal[];
}

export function checkHeader(answer: unknown, asked?: AskedBlock): BlockHeader {
  const fields = readFields(answer, "The block");
  const header: BlockHeader = {
    number: BigInt(readSafeNumber(fields, "number")),
    hash: readHash(fields, "hash"),
    parentHash: readHash(fields, "parentHash"),
    timestamp: readSafeNumber(fields, "timestamp"),
  };
  if (asked !== undefined) expectAsked(header, asked);
  return header;
}

function expectAsked(header: BlockHeader, asked: AskedBlock): void {
  if ("hash" in asked ? header.hash === asked.hash : header.number === asked.number) return;
  throw new AnswerRefused("The block is not the one that was asked for", {
    asked: "hash" in asked ? asked.hash : asked.number,
    hash: header.hash,
    number: header.number,
  });
}

/** A block with its transactions in full. */
export function checkBlock(answer: unknown, asked: AskedBlock): CheckedBlock {
  const header = checkHeader(answer, asked);
  const fields = readFields(answer, "The block");
  const transactions = readList(fields["transactions"], "The list of transactions");
  const blockNumber = blockNumberParameter(header.number);
  for (const [index, transaction] of transactions.entries()) {
    checkTransaction(readFields(transaction, "A transaction"), header.hash, blockNumber, quantityOf(index));
  }
  return {
    answer: fields,
    header,
    logsBloom: typeof fields["logsBloom"] === "string" ? fields["logsBloom"] : null,
    transactions: transactions as FetchedTransaction[],
    withdrawals: checkWithdrawals(fields["withdrawals"]),
  };
}

/** Types are not looked at: a transaction of an unknown type still has a sender, a recipient and a value. */
function checkTransaction(fields: Fields, blockHash: Hash, blockNumber: Quantity, index: Quantity): void {
  readHash(fields, "hash");
  expectHash(fields, "blockHash", blockHash);
  expectNumber(fields, "blockNumber", blockNumber);
  expectNumber(fields, "transactionIndex", index);
  readAddress(fields, "from");
  readOptionalAddress(fields, "to");
  readQuantity(fields, "value");
}

function checkWithdrawals(answer: unknown): FetchedWithdrawal[] {
  if (answer === null || answer === undefined) return [];
  const withdrawals = readList(answer, "The list of withdrawals");
  for (const withdrawal of withdrawals) {
    const fields = readFields(withdrawal, "A withdrawal");
    readQuantity(fields, "index");
    readAddress(fields, "address");
    readQuantity(fields, "amount");
  }
  return withdrawals as FetchedWithdrawal[];
}

/** The parameter that names a block by its number. */
export function blockNumberParameter(number: bigint): Quantity {
  return `0x${number.toString(16)}`;
}
