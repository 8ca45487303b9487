/**
 * Writes RLP (Yellow Paper, appendix B) **from the last byte to the first**. What stands in front of a list or a
 * string is its length, and whoever comes from behind knows it by then: nothing is measured first or copied
 * afterwards. So items are written last one first, and `closeList` makes a list of what came since.
 *
 *     const since = writer.size;
 *     writeQuantity(writer, second, "second");
 *     writeData(writer, first, "first");
 *     closeList(writer, since);              // [first, second]
 */
import { keccak256 } from "../../core/keccak.ts";
import { decodeHex, digitAt } from "./decode-hex.ts";
import { quote, Unprovable } from "./proof.ts";

export interface RlpWriter {
  /** Filled from its end; grows. */
  bytes: Buffer;
  /** How many bytes are written. Set it back to forget what came since. */
  size: number;
}

const FIRST_BYTES = 32_768;
const STRING = 0x80;
const LIST = 0xc0;
/** Up to here the length is in the first byte itself. */
const SHORT_LENGTH = 55;
const DIGIT_ZERO = 48;

export function createRlpWriter(): RlpWriter {
  return { bytes: Buffer.allocUnsafeSlow(FIRST_BYTES), size: 0 };
}

/** What was written since `size` was `since`. Valid until the next write. */
export function writtenSince(writer: RlpWriter, since: number): Uint8Array {
  const { bytes, size } = writer;
  return bytes.subarray(bytes.length - size, bytes.length - since);
}

/** keccak-256 of what was written since. */
export function hashSince(writer: RlpWriter, since: number): Uint8Array {
  return keccak256(writtenSince(writer, since));
}

/** Bytes as nodes write them: `0x` and an even number of digits. */
export function writeData(writer: RlpWriter, hex: unknown, what: string): void {
  const since = writer.size;
  writeDigits(writer, hex, what);
  closeString(writer, since);
}

/** Bytes of one length only. Their RLP says the length, so another length would be another thing. */
export function writeFixedData(writer: RlpWriter, hex: unknown, length: number, what: string): void {
  if (typeof hex !== "string" || hex.length !== 2 + 2 * length) throw malformed(hex, `${length} bytes`, what);
  writeData(writer, hex, what);
}

/** The bytes alone, with nothing in front that says how many they are. */
export function writeDigits(writer: RlpWriter, hex: unknown, what: string): void {
  if (typeof hex !== "string" || !hex.startsWith("0x") || hex.length % 2 !== 0) {
    throw malformed(hex, "bytes", what);
  }
  const at = reserve(writer, (hex.length - 2) >> 1); // may put another buffer in the place of the old one
  decodeHex(writer.bytes, at, hex, 2, what);
}

/** A number as nodes write it. RLP has it without leading zeros, and zero as no bytes at all. */
export function writeQuantity(writer: RlpWriter, hex: unknown, what: string): void {
  if (typeof hex !== "string" || !hex.startsWith("0x") || hex.length === 2) {
    throw malformed(hex, "a number", what);
  }
  let from = 2;
  while (from < hex.length && hex.charCodeAt(from) === DIGIT_ZERO) from++;
  const since = writer.size;
  const digits = hex.length - from;
  const at = reserve(writer, (digits + 1) >> 1);
  if (digits % 2 === 0) {
    decodeHex(writer.bytes, at, hex, from, what);
  } else {
    const first = digitAt(hex, from);
    if (first < 0) throw malformed(hex, "a number", what);
    writer.bytes[at] = first;
    decodeHex(writer.bytes, at + 1, hex, from + 1, what);
  }
  closeString(writer, since);
}

/** A string of nothing, which is also the number zero. */
export function writeEmpty(writer: RlpWriter): void {
  writeByte(writer, STRING);
}

/** The byte as it is. */
export function writeByte(writer: RlpWriter, byte: number): void {
  const at = reserve(writer, 1);
  writer.bytes[at] = byte;
}

/** A string of these bytes. */
export function writeBytes(writer: RlpWriter, content: Uint8Array): void {
  const since = writer.size;
  const at = reserve(writer, content.length);
  writer.bytes.set(content, at);
  closeString(writer, since);
}

/** Makes a string of what was written since. */
export function closeString(writer: RlpWriter, since: number): void {
  const length = writer.size - since;
  // A single byte below 0x80 stands for itself.
  if (length === 1 && (writer.bytes[writer.bytes.length - writer.size] ?? STRING) < STRING) return;
  writeLength(writer, length, STRING);
}

/** Makes a list of the items that were written since. */
export function closeList(writer: RlpWriter, since: number): void {
  writeLength(writer, writer.size - since, LIST);
}

function writeLength(writer: RlpWriter, length: number, kind: number): void {
  if (length <= SHORT_LENGTH) {
    writeByte(writer, kind + length);
    return;
  }
  let byteCount = 0;
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) {
    writeByte(writer, rest % 256);
    byteCount++;
  }
  writeByte(writer, kind + SHORT_LENGTH + byteCount);
}

/** Makes room in front of what is written; answers where it begins. */
function reserve(writer: RlpWriter, length: number): number {
  const size = writer.size + length;
  if (size > writer.bytes.length) grow(writer, size);
  writer.size = size;
  return writer.bytes.length - size;
}

function grow(writer: RlpWriter, size: number): void {
  const { bytes } = writer;
  const grown = Buffer.allocUnsafeSlow(Math.max(size, bytes.length * 2));
  bytes.copy(grown, grown.length - writer.size, bytes.length - writer.size);
  writer.bytes = grown;
}

function malformed(value: unknown, wanted: string, what: string): Unprovable {
  if (value === undefined || value === null) return new Unprovable("unreadable", `${what} is missing`);
  return new Unprovable("unreadable", `${what} is not ${wanted}: ${quote(value)}`);
}
