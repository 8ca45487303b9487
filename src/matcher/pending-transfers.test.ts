import { encodeFunctionData } from "viem";
import { describe, expect, it } from "vitest";
import type { PendingTransaction } from "../rpc/mempool/pending-transaction.ts";
import { tokenAbi } from "../testing/contracts.ts";
import { addressOf, hashOf, USDT } from "../testing/factory.ts";
import { createAddressTable } from "./address-table.ts";
import { matchPending, pendingTransfers } from "./pending-transfers.ts";

const alice = addressOf("alice");
const payer = addressOf("payer");
const tokens = new Set([USDT]);

function waiting(given: Partial<PendingTransaction>): PendingTransaction {
  return { hash: hashOf("tx"), from: payer, to: alice, nonce: 7n, valueWei: 0n, input: "0x", ...given };
}

const transfer = (to = alice, amount = 5n) =>
  encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, amount] });
const transferFrom = (from: `0x${string}`, to = alice, amount = 5n) =>
  encodeFunctionData({
    abi: [
      {
        type: "function",
        name: "transferFrom",
        stateMutability: "nonpayable",
        inputs: [{ type: "address" }, { type: "address" }, { type: "uint256" }],
        outputs: [],
      },
    ],
    functionName: "transferFrom",
    args: [from, to, amount],
  });

describe("pending transfers", () => {
  it("are the value of a transaction, with calldata or without", () => {
    for (const input of ["0x", "0xdeadbeef"]) {
      expect(pendingTransfers(waiting({ valueWei: 3n, input }), tokens)).toEqual([
        {
          txHash: hashOf("tx"),
          source: "value",
          token: null,
          from: payer,
          to: alice,
          amountBaseUnits: 3n,
          sender: payer,
          nonce: 7n,
        },
      ]);
    }
  });

  it("are a transfer or transferFrom called on a listed token, by whose money it is", () => {
    expect(pendingTransfers(waiting({ to: USDT, input: transfer() }), tokens)).toMatchObject([
      { source: "call", token: USDT, from: payer, to: alice, amountBaseUnits: 5n, sender: payer },
    ]);
    const owner = addressOf("owner");
    expect(pendingTransfers(waiting({ to: USDT, input: transferFrom(owner) }), tokens)).toMatchObject([
      { source: "call", token: USDT, from: owner, to: alice, amountBaseUnits: 5n, sender: payer },
    ]);
  });

  it("keep the amount exact up to 2^256 - 1", () => {
    const most = 2n ** 256n - 1n;
    const input = transfer(alice, most);
    expect(pendingTransfers(waiting({ to: USDT, input }), tokens)[0]?.amountBaseUnits).toBe(most);
  });

  it.each([
    ["an amount of zero", waiting({ to: USDT, input: transfer(alice, 0n) })],
    ["a value of zero", waiting({})],
    ["a creation", waiting({ to: null, valueWei: 3n })],
    ["a token that is not listed", waiting({ to: addressOf("fake usdt"), input: transfer() })],
    ["a call cut off in its amount", waiting({ to: USDT, input: transfer().slice(0, -2) })],
    ["a selector alone", waiting({ to: USDT, input: "0xa9059cbb" })],
    ["another selector", waiting({ to: USDT, input: transfer().replace("0xa9059cbb", "0x095ea7b3") })],
    ["dirty upper bytes of the address", waiting({ to: USDT, input: transfer().replace("bb0", "bb1") })],
    ["digits that are none", waiting({ to: USDT, input: `${transfer().slice(0, -1)}z` })],
  ])("are not made of %s", (_what, transaction) => {
    expect(pendingTransfers(transaction, tokens)).toEqual([]);
  });

  it("are taken with more words than the call needs, as contracts take them", () => {
    const input = `${transfer()}${"ab".repeat(64)}`;
    expect(pendingTransfers(waiting({ to: USDT, input }), tokens)).toHaveLength(1);
  });

  it("are matched by who would receive them", () => {
    const table = createAddressTable(Buffer.alloc(16, 1));
    table.add(alice);
    const found = matchPending(
      [
        waiting({ hash: hashOf("1"), valueWei: 1n }),
        waiting({ hash: hashOf("2"), valueWei: 1n, to: addressOf("stranger") }),
        waiting({ hash: hashOf("3"), to: USDT, input: transfer() }),
        waiting({ hash: hashOf("4"), to: USDT, input: transfer(addressOf("stranger")) }),
      ],
      tokens,
      table,
    );
    expect(found.map((each) => each.txHash)).toEqual([hashOf("1"), hashOf("3")]);
  });
});
