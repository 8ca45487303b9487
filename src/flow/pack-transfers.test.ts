import { expect, it } from "vitest";
import type { Transfer } from "../core/chain.ts";
import { createAddressTable } from "../matcher/address-table.ts";
import { matchTransfers } from "../matcher/match-transfers.ts";
import { addressOf, transferOf, USDT } from "../testing/factory.ts";
import { packedList, packTransfers, TransferNotKept } from "./pack-transfers.ts";

const to = addressOf("alice");
const transfers = [
  transferOf({ to, tx: "1" }),
  transferOf({ to, tx: "2", source: "log:3", token: USDT, amountBaseUnits: 2n ** 256n - 1n }),
  transferOf({ to: addressOf("bob"), tx: "3", source: "trace:0.2.1" }),
  { ...transferOf({ to, tx: "4", source: "withdrawal:17" }), txHash: null, sender: null },
];

it.each([
  ["none", []],
  ["one of each source", transfers],
])("unpacks what was packed: %s", (_what, given) => {
  const packed = packedList(structuredClone(packTransfers(given)));
  expect(packed.length).toBe(given.length);
  expect(packed.filter(() => true)).toEqual(given);
});

it("is matched as if it were not packed", () => {
  const table = createAddressTable(Buffer.alloc(16, 7));
  const packed = packedList(packTransfers(transfers));
  expect(matchTransfers(packed, table)).toEqual([]);
  table.add(addressOf("bob"));
  expect(matchTransfers(packed, table)).toEqual([transfers[2]]);
  table.add(to);
  expect(matchTransfers(packed, table)).toEqual(transfers);
});

it("keeps what it is told to, and says when another one is wanted", () => {
  const isKept = ({ to: recipient }: Transfer) => recipient === addressOf("bob");
  const packed = packedList(packTransfers(transfers, { isKept, looked: 1 }));
  expect(packed.length).toBe(transfers.length);
  expect(packed.filter((transfer) => transfer.to === addressOf("bob"))).toEqual([transfers[2]]);
  expect(() => packed.filter((transfer) => transfer.to === to)).toThrow(TransferNotKept);
});

it("is looked at again when the table holds more than when it was packed", () => {
  const table = createAddressTable(Buffer.alloc(16, 7));
  table.add(addressOf("bob"));
  const isKept = () => false;
  const packed = packedList(packTransfers(transfers.slice(0, 2), { isKept, looked: table.size }));
  expect(matchTransfers(packed, table)).toEqual([]);
  table.add(to);
  expect(() => matchTransfers(packed, table)).toThrow(TransferNotKept);
});

it("refuses a text that was cut off", () => {
  const { text, ...rest } = packTransfers(transfers);
  const cut = packedList({ ...rest, text: text.subarray(0, -1) });
  expect(() => cut.filter(() => true)).toThrow(RangeError);
});
