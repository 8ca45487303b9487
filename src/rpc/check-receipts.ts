/**
 * Checks the receipts of a block against the block.
 *
 * What this cannot see is a single log left out together with its later siblings' indexes put right, under a
 * bloom that has other logs: only the receipts root proves that none is missing.
 */
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
  readHashes,
  readList,
  readOptionalAddress,
  readSafeNumber,
} from "./answer.ts";
import { blockNumberParameter, type CheckedBlock } from "./check-block.ts";
import type { FetchedReceipt, FetchedTransaction, Quantity } from "./fetched-block.ts";

const EMPTY_BLOOM = `0x${"0".repeat(512)}`;
/** LOG0 to LOG4. */
const MAX_TOPICS = 4;

interface Place {
  readonly blockHash: Hash;
  readonly blockNumber: Quantity;
  readonly transactionHash: Hash;
  readonly transactionIndex: Quantity;
}

/** @param answer one receipt for each transaction, in the block's order */
export function checkReceipts(answer: unknown, block: CheckedBlock): FetchedReceipt[] {
  const receipts = readList(answer, "The list of receipts");
  const { header, transactions } = block;
  if (receipts.length !== transactions.length) {
    throw new AnswerRefused("The block's receipts are not as many as its transactions", {
      receipts: receipts.length,
      transactions: transactions.length,
    });
  }
  const blockNumber = blockNumberParameter(header.number);
  let logCount = 0;
  let numbering: LogNumbering | null = null;
  for (const [index, transaction] of transactions.entries()) {
    const receipt = readFields(receipts[index], "A receipt");
    const place: Place = {
      blockHash: header.hash,
      blockNumber,
      transactionHash: transaction.hash,
      transactionIndex: quantityOf(index),
    };
    checkReceipt(receipt, place);
    expectContract(receipt, transaction);
    const logs = readList(receipt["logs"], "A receipt's list of logs");
    if (logCount > 0 && logs.length > 0) numbering ??= numberingOf(logs[0]);
    checkLogs(logs, place, numbering === "in each receipt" ? 0 : logCount);
    if (logs.length === 0) expectNoBloom(receipt["logsBloom"], "A receipt");
    logCount += logs.length;
  }
  // A node that lost its logs answers none, under the right hash. The header remembers that there were some.
  if (logCount === 0) expectNoBloom(block.logsBloom, "The block");
  return receipts as FetchedReceipt[];
}

function checkReceipt(receipt: Fields, place: Place): void {
  expectPlace(receipt, place);
  readOptionalAddress(receipt, "contractAddress");
  const status = receipt["status"];
  if (status === "0x1" || status === "0x0") return;
  if (status !== undefined && status !== null) {
    throw new AnswerRefused("A receipt's status is neither 0x0 nor 0x1", {
      transaction: place.transactionHash,
    });
  }
  readHash(receipt, "root");
}

/** Value sent with a creation goes to the contract; without its address that value would be overlooked. */
function expectContract(receipt: Fields, transaction: FetchedTransaction): void {
  if (transaction.to !== null || receipt["status"] === "0x0" || receipt["contractAddress"] !== null) return;
  throw new AnswerRefused("A receipt of a creation names no contract", { transaction: transaction.hash });
}

/**
 * Nearly all nodes count a block's logs through; ganache, and some that were built like it, begin anew in each
 * receipt. One block is counted in one way, so a log that is missing still shows as a gap.
 */
type LogNumbering = "through the block" | "in each receipt";

/** @param log the first of a receipt that is not the first with logs */
function numberingOf(log: unknown): LogNumbering {
  return readSafeNumber(readFields(log, "A log"), "logIndex") === 0 ? "in each receipt" : "through the block";
}

function checkLogs(logs: readonly unknown[], place: Place, firstIndex: number): void {
  for (let position = 0; position < logs.length; position++) {
    checkLog(readFields(logs[position], "A log"), place, firstIndex + position);
  }
}

function checkLog(log: Fields, place: Place, logIndex: number): void {
  expectPlace(log, place);
  expectNumber(log, "logIndex", quantityOf(logIndex));
  if (log["removed"] === true) throw new AnswerRefused("A log is marked as removed", { logIndex });
  readAddress(log, "address");
  const topics = readList(log["topics"], "A log's list of topics");
  if (topics.length > MAX_TOPICS) throw new AnswerRefused("A log has more than four topics", { logIndex });
  readHashes(topics, "A log's topic");
  const data = log["data"];
  if (typeof data !== "string" || !data.startsWith("0x") || data.length % 2 !== 0) {
    throw new AnswerRefused("A log's data is not bytes", { logIndex });
  }
}

function expectPlace(fields: Fields, place: Place): void {
  expectHash(fields, "blockHash", place.blockHash);
  expectHash(fields, "transactionHash", place.transactionHash);
  expectNumber(fields, "transactionIndex", place.transactionIndex);
  expectNumber(fields, "blockNumber", place.blockNumber);
}

function expectNoBloom(bloom: unknown, whose: string): void {
  if (typeof bloom !== "string" || bloom === EMPTY_BLOOM || /^0x0*$/.test(bloom)) return;
  throw new AnswerRefused(`${whose} has no logs, but its bloom says it had some`);
}
