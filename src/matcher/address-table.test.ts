import { describe, expect, it } from "vitest";
import { type Address, bytesToHex, hexToBytes } from "../core/hex.ts";
import { systemRandom } from "../runtime/random.ts";
import { addressOf, hashOf } from "../testing/factory.ts";
import { createAddressTable, lookInto } from "./address-table.ts";
import { matchTransfers } from "./match-transfers.ts";

const seed = () => systemRandom.bytes(16);
const packed = (addresses: readonly Address[]) => Buffer.concat(addresses.map(hexToBytes));
const randomAddress = () => bytesToHex(systemRandom.bytes(20));

describe("the address table", () => {
  it("never forgets an address, however often it grows, and confuses hardly any", () => {
    const table = createAddressTable(seed());
    const added = Array.from({ length: 50_000 }, randomAddress);
    for (const address of added.slice(0, 25_000)) table.add(address);
    table.addPacked(packed(added.slice(25_000)));
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
    table.addPacked(packed([addressOf("alice"), addressOf("alice")]));
    expect(table.size).toBe(1);
  });

  it("makes room at once for as many as are reserved, and keeps what was there", () => {
    const table = createAddressTable(seed());
    const before = Array.from({ length: 600 }, randomAddress);
    table.addPacked(packed(before));
    table.reserve(20_000);
    const { byteLength } = table;
    const added = Array.from({ length: 20_000 }, randomAddress);
    table.addPacked(packed(added));
    expect(table.byteLength).toBe(byteLength);
    expect([...before, ...added].filter((address) => !table.mayContain(address))).toEqual([]);
    table.reserve(10);
    expect(table.byteLength).toBe(byteLength);
  });

  it("takes at most 16 bytes for each address that was reserved", () => {
    const table = createAddressTable(seed());
    table.reserve(1_000_000);
    expect(table.byteLength).toBeLessThan(16 * 1_000_000);
  });

  it("is looked into from its shared memory, and what is added shows there at once", () => {
    const table = createAddressTable(seed());
    const look = lookInto(structuredClone(table.shared()));
    expect([look.size, look.mayContain(addressOf("alice"))]).toEqual([0, false]);
    table.add(addressOf("alice"));
    expect([look.size, look.mayContain(addressOf("alice"))]).toEqual([1, true]);
    expect(look.mayContainAny(packed([addressOf("bob"), addressOf("alice")]))).toBe(true);
  });

  it("leaves whoever looks into memory that it has grown out of with another size", () => {
    const table = createAddressTable(seed());
    const shared = table.shared();
    const look = lookInto(shared);
    const addresses = Array.from({ length: 2_000 }, randomAddress);
    for (const address of addresses) {
      table.add(address);
      // Of the same size, it holds the same: whoever relies on that misses nothing.
      if (look.size === table.size) expect(look.mayContain(address)).toBe(true);
    }
    expect(table.shared()).not.toBe(shared);
    expect(look.size).toBeLessThan(table.size);
  });

  it("refuses bytes that are not whole addresses", () => {
    expect(() => createAddressTable(seed()).addPacked(new Uint8Array(30))).toThrow(RangeError);
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
      sender: addressOf("payer"),
    });
    const transfers = [to("alice", 1n), to("bob", 2n), to("alice", 3n)];
    expect(matchTransfers(transfers, table).map((transfer) => transfer.amountBaseUnits)).toEqual([1n, 3n]);
  });
});
