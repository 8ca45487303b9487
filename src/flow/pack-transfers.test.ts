import { expect, it } from "vitest";
import { addressOf, transferOf, USDT } from "../testing/factory.ts";
import { packTransfers, unpackTransfers } from "./pack-transfers.ts";

const to = addressOf("alice");
const transfers = [
  transferOf({ to, tx: "1" }),
  transferOf({ to, tx: "2", source: "log:3", token: USDT, amountBaseUnits: 2n ** 256n - 1n }),
  transferOf({ to, tx: "3", source: "trace:0.2.1" }),
  { ...transferOf({ to, tx: "4", source: "withdrawal:17" }), txHash: null, sender: null },
];

it.each([
  ["none", []],
  ["one of each source", transfers],
])("unpacks what was packed: %s", (_what, given) => {
  expect(unpackTransfers(packTransfers(given))).toEqual(given);
});

it("refuses a text that was cut off", () => {
  expect(() => unpackTransfers(packTransfers(transfers).slice(0, -1))).toThrow(RangeError);
});
