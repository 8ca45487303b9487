import { type Hex, toRlp } from "viem";
import { describe, expect, it } from "vitest";
import { Unprovable } from "./proof.ts";
import {
  closeList,
  createRlpWriter,
  type RlpWriter,
  writeByte,
  writeBytes,
  writeData,
  writeFixedData,
  writeQuantity,
  writtenSince,
} from "./rlp.ts";

type Item = Hex | readonly Item[];

/** The same as viem's encoder, which is not ours: the oracle of these tests. */
function expectLikeViem(item: Item): void {
  const writer = createRlpWriter();
  writeItem(writer, item);
  expect(hexOf(writer)).toBe(toRlp(item as Hex));
}

function writeItem(writer: RlpWriter, item: Item): void {
  if (typeof item === "string") {
    writeData(writer, item, "item");
    return;
  }
  const since = writer.size;
  for (const inner of [...item].reverse()) writeItem(writer, inner);
  closeList(writer, since);
}

function hexOf(writer: RlpWriter): string {
  return `0x${Buffer.from(writtenSince(writer, 0)).toString("hex")}`;
}

function bytesOf(length: number): Hex {
  return `0x${Buffer.from(Array.from({ length }, (_, index) => (index * 7 + 200) & 255)).toString("hex")}`;
}

function written(write: (writer: RlpWriter) => void): string {
  const writer = createRlpWriter();
  write(writer);
  return hexOf(writer);
}

describe("RLP", () => {
  it.each([0, 1, 2, 31, 47, 48, 49, 55, 56, 57, 255, 256, 65_535, 65_536, 200_000])(
    "writes a string of %i bytes as viem does",
    (length) => {
      expectLikeViem(bytesOf(length));
    },
  );

  it.each<Hex>(["0x00", "0x01", "0x7f", "0x80", "0xff"])("writes the single byte %s as viem does", (byte) => {
    expectLikeViem(byte);
  });

  it("writes lists within lists, of every length of length, as viem does", () => {
    expectLikeViem([]);
    expectLikeViem([[], [[]], ["0x", "0x01"]]);
    expectLikeViem([bytesOf(54)]);
    expectLikeViem([bytesOf(55)]);
    expectLikeViem([bytesOf(20), [bytesOf(32), bytesOf(32)], bytesOf(300)]);
    expectLikeViem(Array.from({ length: 3_000 }, (_, index) => [bytesOf(index % 90), [bytesOf(index % 3)]]));
  });

  it("writes a number without its leading zeros, and zero as nothing", () => {
    const quantity = (hex: string) => written((writer) => writeQuantity(writer, hex, "number"));
    expect(quantity("0x0")).toBe("0x80");
    expect(quantity("0x00")).toBe("0x80");
    expect(quantity("0x7f")).toBe("0x7f");
    expect(quantity("0x80")).toBe("0x8180");
    expect(quantity("0x0080")).toBe("0x8180");
    expect(quantity("0x100")).toBe("0x820100");
    expect(quantity("0xABC")).toBe("0x820abc");
    expect(quantity(`0x${"f".repeat(63)}`)).toBe(`0xa00${"f".repeat(63)}`);
    expect(quantity(`0x${"f".repeat(64)}`)).toBe(`0xa0${"f".repeat(64)}`);
  });

  it("keeps what is written when its buffer grows", () => {
    const parts = Array.from({ length: 50 }, (_, index) => Buffer.alloc(3_000, index));
    const all = written((writer) => {
      for (const part of parts) {
        for (const byte of part) writeByte(writer, byte);
      }
    });
    expect(all).toBe(`0x${Buffer.concat(parts.reverse()).toString("hex")}`);
    expect(written((writer) => writeBytes(writer, Buffer.alloc(100_000, 7)))).toBe(
      toRlp(`0x${"07".repeat(100_000)}`),
    );
  });

  it.each([
    ["no 0x", "abcd"],
    ["half a byte", "0xabc"],
    ["a letter that is no digit", `0x${"0".repeat(63)}g`],
    ["a letter that is no digit, in long data", `0x${"0".repeat(999)}g`],
    ["a character whose low byte is a digit", `0x${"\u0130".repeat(64)}`],
    ["such a character in long data", `0x${"0".repeat(500)}${"\u0130".repeat(500)}`],
    ["such a character in short data", "0x\u0130\u0130"],
    ["a space", "0x 1"],
    ["a number", 12],
    ["null", null],
    ["nothing", undefined],
    ["a list", ["0x"]],
  ])("refuses data with %s", (_, value) => {
    expect(() => writeData(createRlpWriter(), value, "field")).toThrow(Unprovable);
  });

  it.each([
    ["no digits", "0x"],
    ["a sign", "-0x1"],
    ["a letter that is no digit", "0xg"],
    ["one in front of others", "0xg00"],
    ["a character whose low byte is a digit", "0x\u0131"],
    ["a fraction", "0x1.5"],
    ["null", null],
    ["a number", 7],
  ])("refuses a number with %s", (_, value) => {
    expect(() => writeQuantity(createRlpWriter(), value, "field")).toThrow(Unprovable);
  });

  it("refuses data of another length than the protocol has", () => {
    expect(() => writeFixedData(createRlpWriter(), `0x${"00".repeat(19)}`, 20, "address")).toThrow(
      Unprovable,
    );
    expect(() => writeFixedData(createRlpWriter(), "0x", 20, "address")).toThrow(Unprovable);
    expect(() => writeFixedData(createRlpWriter(), null, 20, "address")).toThrow("address is missing");
  });
});
