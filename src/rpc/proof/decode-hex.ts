/**
 * Decodes `0x…` strings strictly. Two strings that a reader of the block would take for different things must
 * never decode to the same bytes: what is proved here is the bytes, what is believed later is the string.
 */
import { Unprovable } from "./proof.ts";

/** For each UTF-16 code unit its value as a hexadecimal digit, -1 where it is none. */
const LOW_NIBBLES = new Int8Array(65_536).fill(-1);
/** The same times 16. */
const HIGH_NIBBLES = new Int16Array(65_536).fill(-1);
for (const [digit, text] of [..."0123456789abcdef"].entries()) {
  for (const letter of [text, text.toUpperCase()]) {
    LOW_NIBBLES[letter.charCodeAt(0)] = digit;
    HIGH_NIBBLES[letter.charCodeAt(0)] = digit * 16;
  }
}

/**
 * From this length on Node's own decoder is faster: 22 ns against 138 ns for 4 bytes, 102 against 114 for 32,
 * 197 against 151 for 64, 3,094 against 954 for 1,000 (Node 20).
 */
const NATIVE_FROM_BYTES = 48;

/** Costs nothing for the strings that V8 keeps with one byte a character, which are all but a forger's. */
const WIDE_CHARACTER = /[\u0100-\uffff]/;

/**
 * Writes the bytes of the digits from `from` to the end of `hex`, of which there is an even number, to `at`.
 *
 * @throws {Unprovable} when one is no digit
 */
export function decodeHex(bytes: Buffer, at: number, hex: string, from: number, what: string): void {
  const length = (hex.length - from) >> 1;
  const isDecoded =
    length < NATIVE_FROM_BYTES
      ? decodeShort(bytes, at, hex, from)
      : // Node's decoder stops at what is no digit, but takes U+0130 for "0": it looks at the low byte alone.
        !WIDE_CHARACTER.test(hex) && bytes.write(hex.slice(from), at, length, "hex") === length;
  if (!isDecoded) throw new Unprovable("unreadable", `${what} has a character that is no hexadecimal digit`);
}

function decodeShort(bytes: Buffer, at: number, hex: string, from: number): boolean {
  let bits = 0;
  let target = at;
  for (let position = from; position < hex.length; position += 2) {
    const high = HIGH_NIBBLES[hex.charCodeAt(position)] ?? -1;
    const low = LOW_NIBBLES[hex.charCodeAt(position + 1)] ?? -1;
    const byte = high | low;
    bits |= byte;
    bytes[target++] = byte;
  }
  return bits >= 0;
}

/** The value of one digit, -1 where it is none. */
export function digitAt(hex: string, position: number): number {
  return LOW_NIBBLES[hex.charCodeAt(position)] ?? -1;
}
