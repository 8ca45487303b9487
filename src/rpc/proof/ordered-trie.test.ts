import { type Hex, keccak256, toRlp } from "viem";
import { describe, expect, it } from "vitest";
import { orderedTrieRoot } from "./ordered-trie.ts";
import { createRlpWriter, writeDigits } from "./rlp.ts";

function rootOf(values: readonly Hex[]): string {
  return orderedTrieRoot(createRlpWriter(), values.length, (writer, index) => {
    writeDigits(writer, values[index], "item");
  });
}

/** A trie as the Yellow Paper defines it (appendix D), with no thought for speed: the oracle of these tests. */
function plainRoot(values: readonly Hex[]): Hex {
  const items = values.map((value, index) => ({
    nibbles: toRlp(index === 0 ? "0x" : `0x${digitsOf(index)}`).slice(2),
    value,
  }));
  return items.length === 0 ? keccak256("0x80") : keccak256(toRlp(plainNode(items)));
}

type Node = Hex | readonly Node[];
interface Item {
  readonly nibbles: string;
  readonly value: Hex;
}

function plainNode(items: readonly Item[]): Node {
  const [first] = items;
  if (first === undefined) return "0x";
  if (items.length === 1) return [prefixed(first.nibbles, true), first.value];
  let common = 0;
  while (items.every(({ nibbles }) => nibbles[common] === first.nibbles[common])) common++;
  if (common > 0) return [prefixed(first.nibbles.slice(0, common), false), reference(strip(items, common))];
  const branches = [..."0123456789abcdef"].map((digit) =>
    reference(
      strip(
        items.filter(({ nibbles }) => nibbles[0] === digit),
        1,
      ),
    ),
  );
  return [...branches, "0x"];
}

function reference(items: readonly Item[]): Node {
  const node = plainNode(items);
  const encoded = toRlp(node as Hex);
  return encoded.length < 2 + 64 ? node : keccak256(encoded);
}

function strip(items: readonly Item[], count: number): Item[] {
  return items.map(({ nibbles, value }) => ({ nibbles: nibbles.slice(count), value }));
}

function prefixed(nibbles: string, isLeaf: boolean): Hex {
  const flag = isLeaf ? 2 : 0;
  return nibbles.length % 2 === 1 ? `0x${flag + 1}${nibbles}` : `0x${flag}0${nibbles}`;
}

/** Of whole bytes. */
function digitsOf(number: number): string {
  const digits = number.toString(16);
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** Each value is its index, as often as `length` says. */
function valuesOf(count: number, length: (index: number) => number): Hex[] {
  const repeated = (index: number): Hex => `0x${digitsOf(index + 1).repeat(length(index))}`;
  return Array.from({ length: count }, (_, index) => repeated(index));
}

// 128, 256 and 65,536 are where rlp(index) grows by a byte.
const COUNTS = [1, 2, 3, 15, 16, 17, 126, 127, 128, 129, 130, 200, 255, 256, 257, 300, 1_000];

describe("the root of an ordered trie", () => {
  it("is that of the empty trie when there is nothing", () => {
    expect(rootOf([])).toBe("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
  });

  it.each(COUNTS)("is that of a general trie for %i items as long as receipts", (count) => {
    const values = valuesOf(count, (index) => 60 + (index % 9) * 40);
    expect(rootOf(values)).toBe(plainRoot(values));
  });

  it.each(COUNTS)("is that of a general trie for %i items so short that nodes lie within nodes", (count) => {
    const values = valuesOf(count, (index) => 1 + (index % 5));
    expect(rootOf(values)).toBe(plainRoot(values));
  });

  it("is that of a general trie where keys have three bytes", () => {
    const values = valuesOf(65_600, () => 1);
    expect(rootOf(values)).toBe(plainRoot(values));
  });

  it("is another one when two items change places", () => {
    const values = valuesOf(200, () => 50);
    const swapped = [...values];
    [swapped[3], swapped[150]] = [swapped[150] ?? "0x", swapped[3] ?? "0x"];
    expect(rootOf(swapped)).not.toBe(rootOf(values));
  });
});
