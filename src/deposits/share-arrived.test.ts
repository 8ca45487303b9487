import { describe, expect, it } from "vitest";
import type { Transfer } from "../core/chain.ts";
import { addressOf, transferOf, USDT } from "../testing/factory.ts";
import { shareArrived } from "./share-arrived.ts";

const alice = addressOf("alice");
const hot = addressOf("hot wallet");

const into = (tx: string, amountBaseUnits: bigint, to = alice): Transfer =>
  transferOf({ tx, to, token: USDT, source: "log:0", amountBaseUnits });
const out = (tx: string, amountBaseUnits: bigint): Transfer => ({
  ...into(tx, amountBaseUnits, hot),
  from: alice,
});

function shares(transfers: readonly Transfer[], before: bigint, after: bigint): bigint[] {
  return [...shareArrived(transfers, { token: USDT, holder: alice, before, after }).values()];
}

describe("what has arrived of transfers", () => {
  it("E1: is what the balance grew by, where that is less than the event tells", () => {
    expect(shares([into("1", 100n)], 7n, 97n)).toEqual([90n]);
    expect(shares([into("1", 100n)], 7n, 7n)).toEqual([0n]);
  });

  it("E1: is never more than the events tell, however much the balance grew", () => {
    expect(shares([into("1", 100n), into("2", 50n)], 0n, 10_000n)).toEqual([100n, 50n]);
  });

  it("E1: is nothing, and never less, where the balance shrank", () => {
    expect(shares([into("1", 100n)], 500n, 300n)).toEqual([0n]);
  });

  it("E1: is shared in proportion, and the shares make the whole", () => {
    expect(shares([into("1", 100n), into("2", 300n)], 0n, 360n)).toEqual([90n, 270n]);
    expect(shares([into("1", 1n), into("2", 1n), into("3", 1n)], 0n, 2n)).toEqual([0n, 1n, 1n]);
  });

  it("E1: counts what the address sent on in the same block as arrived before", () => {
    expect(shares([into("1", 100n), out("2", 90n)], 5n, 5n)).toEqual([90n]);
    expect(shares([out("1", 40n), into("2", 100n)], 40n, 90n)).toEqual([90n]);
  });

  it("leaves other tokens and other addresses out, and what an address sends to itself", () => {
    const other = { ...into("1", 100n), token: addressOf("other token") };
    const toOther = into("2", 100n, hot);
    const toItself = { ...out("3", 50n), to: alice };
    expect(shares([other, toOther, into("4", 100n)], 0n, 90n)).toEqual([90n]);
    expect(shares([into("4", 100n), toItself], 200n, 290n)).toEqual([90n]);
  });

  it("shares any amounts so that none exceeds its event's and the sum is exact", () => {
    const largest = 2n ** 256n - 1n;
    const transfers = [into("1", largest), into("2", 1n), into("3", largest / 3n), into("4", 7n)];
    for (const arrived of [1n, 8n, largest / 2n, largest]) {
      const found = shares(transfers, 0n, arrived);
      expect(found.reduce((sum, share) => sum + share, 0n)).toBe(arrived);
      for (const [index, share] of found.entries())
        expect(share <= (transfers[index]?.amountBaseUnits ?? 0n)).toBe(true);
    }
  });
});
