import { describe, expect, it } from "vitest";
import { bytesToHex, hexToBytes } from "../core/hex.ts";
import { systemRandom } from "../runtime/random.ts";
import { addressOf, hashOf } from "../testing/factory.ts";
import { createAddressTable } from "./address-table.ts";
import { matchTransfers } from "./match-transfers.ts";

const seed = () => systemRandom.bytes(16);
const randomAddress = () => bytesToHex(systemRandom.bytes(20));

describe("the address table", () => {
  it("never forgets an address, however often it grows, and confuses hardly any", () => {
    const table = createAddressTable(seed());
    const added = Array.from({ length: 50_000 }, randomAddress);
    for (const [index, address] of added.entries())
      table.add(index % 2 === 0 ? address : hexToBytes(address));
    expect(added.filter((address) => !table.mayContain(address))).toEqual([]);
    expect(table.size).toBe(50_000);
    const strangers = Array.from({ length: 50_000 }, randomAddress);
    expect(strangers.filter((address) => table.mayContain(address))).toEqual([]);
  });

  it("never forgets one of many that differ in little", () => {
    const table = createAddressTable(seed());
    const alike = Array.from({ length: 5_000 }, (_, index) => {
      const bytes = Buffer.alloc(20, index % 3 === 0 ? 0xff : 0);
      bytes.writeUInt16BE(index, (index * 7) % 19);
      return bytesToHex(bytes);
    });
    for (const address of alike) table.add(address);
    expect(alike.filter((address) => !table.mayContain(address))).toEqual([]);
    expect(table.size).toBe(new Set(alike).size);
  });

  it("finds an address in either case, and inside a topic", () => {
    const table = createAddressTable(seed());
    const address = addressOf("alice");
    table.add(address);
    expect(table.mayContain(address.toUpperCase())).toBe(true);
    expect(table.mayContain(`0x${"0".repeat(24)}${address.slice(2)}`, 26)).toBe(true);
    expect(table.mayContain(addressOf("bob"))).toBe(false);
  });

  it("takes an address twice without counting it twice", () => {
    const table = createAddressTable(seed());
    table.add(addressOf("alice"));
    table.add(hexToBytes(addressOf("alice")));
    expect(table.size).toBe(1);
  });

  it("refuses a seed that could be guessed", () => {
    expect(() => createAddressTable(new Uint8Array(8))).toThrow(RangeError);
  });

  it("keeps of a block's transfers those to addresses in it, in their order", () => {
    const table = createAddressTable(seed());
    table.add(addressOf("alice"));
    const to = (name: string, amountBaseUnits: bigint) => ({
      txHash: hashOf("tx"),
      source: "value" as const,
      token: null,
      from: addressOf("payer"),
      to: addressOf(name),
      amountBaseUnits,
    });
    const transfers = [to("alice", 1n), to("bob", 2n), to("alice", 3n)];
    expect(matchTransfers(transfers, table).map((transfer) => transfer.amountBaseUnits)).toEqual([1n, 3n]);
  });
});
