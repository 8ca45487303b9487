import { describe, expect, it } from "vitest";
import { NATIVE_LOG_ADDRESS, NATIVE_SOURCES } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import { UNVERIFIED } from "../core/verification.ts";
import type { FetchedLog, FetchedReceipt, FetchedTransaction } from "../rpc/fetched-block.ts";
import { addressOf, hashOf, USDT } from "../testing/factory.ts";
import { type AddressTable, createAddressTable } from "./address-table.ts";
import { extractTransfers } from "./extract-transfers.ts";
import { TRANSFER_TOPIC } from "./log-transfers.ts";
import { mayConcern } from "./may-concern.ts";

const alice = addressOf("alice");
const bob = addressOf("bob");
const amount = `0x${"0".repeat(62)}64`;
const topicOf = (address: Address): Hash => `0x${"0".repeat(24)}${address.slice(2)}`;

function log(address: Address, ...topics: readonly Hash[]): FetchedLog {
  return { address, topics, data: amount };
}

const LOGS: readonly (readonly FetchedLog[])[] = [
  [],
  [log(USDT, TRANSFER_TOPIC, topicOf(alice), topicOf(bob))],
  [log(USDT, TRANSFER_TOPIC, topicOf(bob), topicOf(alice))],
  [log(USDT, hashOf("other")), log(USDT, TRANSFER_TOPIC, topicOf(bob), topicOf(alice))],
  [
    ...Array.from({ length: 9 }, () => log(USDT, hashOf("other"))),
    log(USDT, TRANSFER_TOPIC, topicOf(bob), topicOf(alice)),
  ],
  [log(NATIVE_LOG_ADDRESS, TRANSFER_TOPIC, topicOf(bob), topicOf(alice))],
  [log(USDT, TRANSFER_TOPIC), log(USDT)],
  [log(USDT, hashOf("approval"), topicOf(bob), topicOf(alice))],
];

interface Case {
  readonly transaction: FetchedTransaction;
  readonly receipt: FetchedReceipt;
}

function casesOf(logs: readonly FetchedLog[]): Case[] {
  const hash = hashOf("tx");
  const from = addressOf("payer");
  return (["0x0", "0x00", "0x5"] as const).flatMap((value) =>
    [alice, bob, null].flatMap((to) =>
      [alice, bob, null].map((contractAddress) => ({
        transaction: { hash, from, to, value },
        receipt: { transactionHash: hash, status: "0x1" as const, contractAddress, logs },
      })),
    ),
  );
}

function tableOf(address: Address): AddressTable {
  const table = createAddressTable(Buffer.alloc(16, 7));
  table.add(address);
  return table;
}

describe("whether a transaction may concern somebody", () => {
  const header = { number: 1n, hash: hashOf("block"), parentHash: hashOf("parent"), timestamp: 0 };
  const recipientsOf = ({ transaction, receipt }: Case) =>
    NATIVE_SOURCES.flatMap((nativeSource) => {
      const block = { header, verification: UNVERIFIED, withdrawals: [], traces: null };
      const whole = { ...block, transactions: [transaction], receipts: [receipt] };
      return extractTransfers(whole, nativeSource).transfers.map(({ to }) => to);
    });

  it("D2: is never denied where a transfer to them is found, in whichever of its logs", () => {
    const cases = LOGS.flatMap(casesOf);
    let found = 0;
    for (const each of cases) {
      for (const recipient of recipientsOf(each)) {
        expect(mayConcern(tableOf(recipient), each.transaction, each.receipt)).toBe(true);
        found += 1;
      }
    }
    expect(found).toBeGreaterThan(cases.length / 2);
  });

  it("is denied for whoever is not a recipient", () => {
    const payer = tableOf(addressOf("payer"));
    for (const { transaction, receipt } of LOGS.flatMap(casesOf))
      expect(mayConcern(payer, transaction, receipt)).toBe(false);
    const [sent] = casesOf(LOGS[1] ?? []).filter(({ transaction }) => transaction.value === "0x0");
    if (sent === undefined) throw new Error("There is no such case");
    expect(mayConcern(tableOf(alice), sent.transaction, sent.receipt)).toBe(false);
  });
});
