/**
 * A set of addresses that answers "surely not" or "perhaps": an open-addressing table of 64-bit fingerprints in
 * shared memory.
 *
 * Ten million addresses take 135 MB, where a `Set<string>` takes 1.4 GB and ends at 16.7 million. Nearly every
 * address of a block is not ours, and is told so without touching the database; a hit is confirmed there, so a
 * false "perhaps" (about one in 10¹²) costs a row that is not found. There is no false "surely not".
 *
 * A fingerprint's place is its share of 2³², scaled to the table. So fingerprints stand in (nearly) rising order,
 * and a larger table is filled from front to back: ten million move in a tenth of a second, not in the seconds that
 * ten million random accesses take.
 */
import { createHash } from "node:crypto";
import type { Address } from "../core/hex.ts";

export interface AddressTable extends AddressLook {
  /** Bytes of shared memory that it takes. */
  readonly byteLength: number;
  /** Adding again changes nothing. */
  add(address: Address): void;
  /** @param packed addresses of 20 bytes each, one after the other @throws {RangeError} when it is not that */
  addPacked(packed: Uint8Array): void;
  /** Makes room for so many addresses at once, instead of growing several times on the way there. */
  reserve(count: number): void;
  /** For other threads; another one each time the table has grown out of it. */
  shared(): SharedTable;
}

/** What can be asked of a table. */
export interface AddressLook {
  /** How many different addresses are held. */
  readonly size: number;
  /**
   * @param hex holds an address of 40 hexadecimal digits, in either case
   * @param offset where they begin: 2 after `0x`; 26 in a topic, whose last 20 bytes are the address
   */
  mayContain(hex: string, offset?: number): boolean;
  /** @param packed as for `addPacked` */
  mayContainAny(packed: Uint8Array): boolean;
}

/** The memory of a table. Can be handed from thread to thread, which copies none of it. */
export interface SharedTable {
  readonly keys: Int32Array;
  readonly slots: Slots;
}

/**
 * Looks into the table of another thread. It sees what is added there at once, but for what is added after the table
 * has grown out of this memory: then its `size` stands still, and is no longer that of the table.
 */
export function lookInto({ keys, slots }: SharedTable): AddressLook {
  return createLook(keys, () => slots);
}

/** Linear probing stays within a cache line or two up to here. */
const MAX_LOAD = 0.65;
/** A table that is reserved takes this much more than was asked for, one that is full grows by this. */
const SPARE = 1.1;
const GROWTH = 1.6;
const FIRST_SLOTS = 1024;
const MIN_SEED_BYTES = 16;
const WORDS_PER_ADDRESS = 5;
const BYTES_PER_ADDRESS = 20;

/**
 * @param seed bytes that nobody can guess. Whoever knew them could grind addresses that all fall on one slot, and
 * make every look-up walk past them.
 * @throws {RangeError} when the seed is shorter than 16 bytes
 */
export function createAddressTable(seed: Uint8Array): AddressTable {
  const keys = keysOf(seed);
  const words = new Int32Array(WORDS_PER_ADDRESS);
  let shared: SharedTable = { keys, slots: emptySlots(FIRST_SLOTS) };

  const makeRoom = (slotCount: number) => {
    const { slots } = shared;
    if (slotCount > countOf(slots)) shared = { keys, slots: copiedInto(slots, emptySlots(slotCount)) };
  };
  /** The address in `words`. */
  const addWords = () => {
    const { slots } = shared;
    if (!insert(slots, mix(words, keys, HIGH_LANE), lowLane(words, keys))) return;
    if (sizeOf(slots) > countOf(slots) * MAX_LOAD) makeRoom(Math.ceil(countOf(slots) * GROWTH));
  };
  const look = createLook(keys, () => shared.slots);
  return {
    get size() {
      return look.size;
    },
    get byteLength() {
      return shared.slots.fingerprints.byteLength;
    },
    shared: () => shared,
    add: (address) => {
      readHex(address, 2, words);
      addWords();
    },
    addPacked: (packed) => {
      expectWhole(packed);
      for (let at = 0; at < packed.length; at += BYTES_PER_ADDRESS) {
        readBytes(packed, at, words);
        addWords();
      }
    },
    reserve: (count) => makeRoom(Math.ceil((count * SPARE) / MAX_LOAD)),
    mayContain: look.mayContain,
    mayContainAny: look.mayContainAny,
  };
}

function createLook(keys: Int32Array, slots: () => Slots): AddressLook {
  const words = new Int32Array(WORDS_PER_ADDRESS);
  const hasWords = () => has(slots(), mix(words, keys, HIGH_LANE), lowLane(words, keys));
  return {
    get size() {
      return sizeOf(slots());
    },
    mayContain: (hex, offset = 2) => {
      readHex(hex, offset, words);
      return hasWords();
    },
    mayContainAny: (packed) => {
      expectWhole(packed);
      for (let at = 0; at < packed.length; at += BYTES_PER_ADDRESS) {
        readBytes(packed, at, words);
        if (hasWords()) return true;
      }
      return false;
    },
  };
}

function expectWhole(packed: Uint8Array): void {
  if (packed.length % BYTES_PER_ADDRESS === 0) return;
  throw new RangeError(`${packed.length} bytes are not addresses of ${BYTES_PER_ADDRESS} bytes`);
}

/**
 * Two numbers for each slot, the low and the high half of a fingerprint; a low half of zero: empty. Signed, because the
 * engine keeps signed 32-bit numbers in registers and unsigned ones, half of the time, on the heap.
 */
export interface Slots {
  readonly fingerprints: Int32Array;
  /** How many slots are taken: counted after they are, so whoever reads it sees that many. */
  readonly taken: Int32Array;
}

function emptySlots(count: number): Slots {
  const shared = (length: number) =>
    new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
  return { fingerprints: shared(count * 2), taken: shared(1) };
}

function countOf({ fingerprints }: Slots): number {
  return fingerprints.length / 2;
}

function sizeOf({ taken }: Slots): number {
  return Atomics.load(taken, 0);
}

/** The position of a fingerprint's slot, or of the empty one where it would go. */
function find(slots: Int32Array, high: number, low: number): number {
  let position = Math.floor((low >>> 0) * (slots.length / 2 ** 33)) * 2;
  for (;;) {
    const slotLow = slots[position];
    if (slotLow === 0 || (slotLow === low && slots[position + 1] === high)) return position;
    position += 2;
    if (position === slots.length) position = 0;
  }
}

function has({ fingerprints }: Slots, high: number, low: number): boolean {
  return fingerprints[find(fingerprints, high, low)] === low;
}

/** The high half first: until the low one is there, the slot is empty to whoever looks. */
function insert({ fingerprints, taken }: Slots, high: number, low: number): boolean {
  const position = find(fingerprints, high, low);
  if (fingerprints[position] === low) return false;
  fingerprints[position + 1] = high;
  fingerprints[position] = low;
  Atomics.add(taken, 0, 1);
  return true;
}

/** From the fingerprints alone: the addresses themselves are not kept. */
function copiedInto({ fingerprints }: Slots, larger: Slots): Slots {
  for (let position = 0; position < fingerprints.length; position += 2) {
    const low = fingerprints[position] ?? 0;
    if (low !== 0) insert(larger, fingerprints[position + 1] ?? 0, low);
  }
  return larger;
}

// Fingerprints ------------------------------------------------------------------------------------------------

const HIGH_LANE = 0;
const LOW_LANE = WORDS_PER_ADDRESS + 1;

/** For each lane a start and a multiplier for each word, odd so that no bit of the word is lost. */
function keysOf(seed: Uint8Array): Int32Array {
  if (seed.length < MIN_SEED_BYTES)
    throw new RangeError(`The seed must have at least ${MIN_SEED_BYTES} bytes`);
  const digest = createHash("sha512").update(seed).digest();
  return Int32Array.from({ length: 2 * LOW_LANE }, (_, index) => digest.readInt32LE(index * 4) | 1);
}

function mix(words: Int32Array, keys: Int32Array, lane: number): number {
  let mixed = keys[lane] ?? 0;
  for (let index = 0; index < WORDS_PER_ADDRESS; index++) {
    mixed = Math.imul(mixed ^ (words[index] ?? 0), keys[lane + 1 + index] ?? 0);
    // The low bits of a product know nothing of the factors' high bits: bring those down.
    mixed ^= mixed >>> 15;
  }
  mixed = Math.imul(mixed, 0x2c1b3c6d);
  return mixed ^ (mixed >>> 13);
}

/** Never zero, so that no fingerprint looks like an empty slot. */
function lowLane(words: Int32Array, keys: Int32Array): number {
  return mix(words, keys, LOW_LANE) || 1;
}

// Reading an address without making anything new ---------------------------------------------------------------

/** The value of a hexadecimal digit by its character code. */
const NIBBLES = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? 0 : value;
});

const DIGITS_PER_WORD = 8;

function readHex(hex: string, offset: number, words: Int32Array): void {
  let at = offset;
  for (let index = 0; index < WORDS_PER_ADDRESS; index++) {
    let word = 0;
    for (const end = at + DIGITS_PER_WORD; at < end; at++)
      word = (word << 4) | (NIBBLES[hex.charCodeAt(at)] ?? 0);
    words[index] = word;
  }
}

function readBytes(bytes: Uint8Array, offset: number, words: Int32Array): void {
  for (let index = 0; index < WORDS_PER_ADDRESS; index++) {
    const at = offset + index * 4;
    words[index] =
      ((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0);
  }
}
