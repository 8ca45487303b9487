/** How a block's logs may be numbered, and what a gap in the numbers means. */
import { expect, test } from "vitest";
import type { Address, Hash } from "../core/hex.ts";
import type { CheckedBlock } from "./check-block.ts";
import { checkReceipts } from "./check-receipts.ts";

const hash = (digit: string): Hash => `0x${digit.repeat(64)}`;
const someone: Address = `0x${"12".repeat(20)}`;
const BLOCK: Hash = hash("b");

/** A block with one transaction for each list, whose logs have these indexes. */
function blockOf(logIndexes: readonly (readonly number[])[]): { block: CheckedBlock; receipts: unknown[] } {
  const places = logIndexes.map((_, index) => ({
    blockHash: BLOCK,
    blockNumber: "0x7",
    transactionHash: hash(String(index + 1)),
    transactionIndex: `0x${index}`,
  }));
  const log = { address: someone, topics: [], data: "0x", removed: false };
  return {
    block: {
      answer: {},
      header: { number: 7n, hash: BLOCK, parentHash: hash("a"), timestamp: 1 },
      logsBloom: `0x01${"0".repeat(510)}`,
      transactions: places.map((place) => ({
        hash: place.transactionHash,
        from: someone,
        to: someone,
        value: "0x0",
      })),
      withdrawals: [],
    },
    receipts: places.map((place, index) => ({
      ...place,
      status: "0x1",
      logs: logIndexes[index]?.map((logIndex) => ({ ...place, ...log, logIndex: `0x${logIndex}` })),
    })),
  };
}

test.each([
  ["through the block", [[0, 1], [], [2], [3, 4]]],
  ["anew in each receipt, as ganache does", [[0, 1], [], [0], [0, 1]]],
])("takes logs that are counted %s", (_how, logIndexes) => {
  const { block, receipts } = blockOf(logIndexes);
  expect(checkReceipts(receipts, block).map((receipt) => receipt.logs.length)).toEqual([2, 0, 1, 2]);
});

test.each([
  ["through the block, one left out", [[0, 1], [], [3, 4]]],
  ["through the block, the first left out", [[1], [], [2]]],
  ["through the block, one beyond the second left out", [[0, 1, 3, 4]]],
  ["through the block, one beyond the second told twice", [[0, 1, 2, 2]]],
  ["anew in each receipt, one left out", [[0, 1], [], [0], [1]]],
  ["in both ways at once", [[0, 1], [2], [0]]],
  ["in both ways at once, the other way round", [[0, 1], [0], [3]]],
])("C2: refuses logs that are counted %s", (_how, logIndexes) => {
  const { block, receipts } = blockOf(logIndexes);
  expect(() => checkReceipts(receipts, block)).toThrow(/logIndex does not agree/);
});

test.each([0, 1, 2, 3, 4])(
  "C4, D2: refuses a log of another block or transaction as log %i of its receipt",
  (position) => {
    for (const changed of [{ blockHash: hash("c") }, { transactionHash: hash("c") }, { topics: ["0x12"] }]) {
      const { block, receipts } = blockOf([[0, 1, 2, 3, 4]]);
      expect(() => checkReceipts(receipts, block)).not.toThrow();
      const [receipt] = receipts as { logs: object[] }[];
      const logs = receipt?.logs.map((log, index) => (index === position ? { ...log, ...changed } : log));
      expect(() => checkReceipts([{ ...receipt, logs }], block)).toThrow();
    }
  },
);

test("refuses receipts that outnumber the transactions, rather than overlook what the last one tells", () => {
  const { block, receipts } = blockOf([[0], [1]]);
  const shorter = { ...block, transactions: block.transactions.slice(0, 1) };
  expect(() => checkReceipts(receipts, shorter)).toThrow(/not as many as its transactions/);
});
