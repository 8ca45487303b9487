/**
 * Reading a node's answer without trusting it. Every reader returns what it promises or throws `AnswerRefused`;
 * `node.ts` turns that into an error that says which node and which question.
 *
 * These run for each of the thousands of fields of a block, so they test first for what nodes do send (lower
 * case, exact text) and are slow only for what they rarely do.
 */
import type { ErrorFacts } from "../core/errors.ts";
import { type Address, type Hash, isHex, isLowerHex } from "../core/hex.ts";
import type { Quantity } from "./fetched-block.ts";

/** The answer, or one part of it, cannot be believed. */
export class AnswerRefused extends Error {
  readonly facts: ErrorFacts;
  constructor(message: string, facts: ErrorFacts = {}) {
    super(message);
    this.facts = facts;
  }
}

/** Fields of a JSON object from outside: present or not, of any type. */
export type Fields = { [name: string]: unknown };

const HASH_DIGITS = 64;
const ADDRESS_DIGITS = 40;
const QUANTITY = /^0x[0-9a-f]{1,64}$/i;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function readFields(value: unknown, what: string): Fields {
  if (!isFields(value)) throw new AnswerRefused(`${what} is not an object`);
  return value;
}

export function readList(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new AnswerRefused(`${what} is not a list`);
  return value;
}

/** Makes `fields[name]` a lower-case hash, and answers it. */
export function readHash(fields: Fields, name: string): Hash {
  const value = fields[name];
  if (typeof value === "string" && isLowerHex(value, HASH_DIGITS)) return value as Hash;
  if (typeof value !== "string" || !isHex(value, HASH_DIGITS)) throw malformed(fields, name, "a hash");
  const lower = value.toLowerCase() as Hash;
  fields[name] = lower;
  return lower;
}

/** Makes every item of the list a lower-case hash. */
export function readHashes(list: unknown[], what: string): void {
  for (let position = 0; position < list.length; position++) {
    const item = list[position];
    if (typeof item === "string" && isLowerHex(item, HASH_DIGITS)) continue;
    if (typeof item !== "string" || !isHex(item, HASH_DIGITS))
      throw new AnswerRefused(`${what} is not a hash`);
    list[position] = item.toLowerCase();
  }
}

/** Makes `fields[name]` a lower-case address, and answers it. */
export function readAddress(fields: Fields, name: string): Address {
  const value = fields[name];
  if (typeof value === "string" && isLowerHex(value, ADDRESS_DIGITS)) return value as Address;
  if (typeof value !== "string" || !isHex(value, ADDRESS_DIGITS)) throw malformed(fields, name, "an address");
  const lower = value.toLowerCase() as Address;
  fields[name] = lower;
  return lower;
}

/** Like `readAddress`, for a field that may be `null` or absent; makes it `null` then. */
export function readOptionalAddress(fields: Fields, name: string): Address | null {
  if (fields[name] !== null && fields[name] !== undefined) return readAddress(fields, name);
  fields[name] = null;
  return null;
}

/** A number of at most 256 bits, as it stands. */
export function readQuantity(fields: Fields, name: string): Quantity {
  const value = fields[name];
  if (typeof value !== "string" || !QUANTITY.test(value)) throw malformed(fields, name, "a number");
  return value as Quantity;
}

/** A number that a double holds exactly. */
export function readSafeNumber(fields: Fields, name: string): number {
  const number = Number(readQuantity(fields, name));
  if (!Number.isSafeInteger(number)) throw malformed(fields, name, "a number below 2^53");
  return number;
}

/** @throws {AnswerRefused} when the field is not this hash, in whatever case */
export function expectHash(fields: Fields, name: string, expected: Hash): void {
  if (fields[name] === expected) return;
  if (readHash(fields, name) !== expected) throw mismatch(fields, name, expected);
}

/** @throws {AnswerRefused} when the field is not this number, however it is padded */
export function expectNumber(fields: Fields, name: string, expected: Quantity): void {
  if (fields[name] === expected) return;
  if (readSafeNumber(fields, name) !== Number(expected)) throw mismatch(fields, name, expected);
}

const quantities: Quantity[] = [];
const MAX_KEPT_QUANTITIES = 100_000;

/** `0x…` of a number. Indexes within a block come up for every log and are made once. */
export function quantityOf(number: number): Quantity {
  const kept = quantities[number];
  if (kept !== undefined) return kept;
  const quantity: Quantity = `0x${number.toString(16)}`;
  if (number < MAX_KEPT_QUANTITIES && number === quantities.length) quantities.push(quantity);
  return quantity;
}

function malformed(fields: Fields, name: string, wanted: string): AnswerRefused {
  return new AnswerRefused(`${name} is not ${wanted}`, { field: name, value: shortText(fields[name]) });
}

function mismatch(fields: Fields, name: string, expected: string): AnswerRefused {
  return new AnswerRefused(`${name} does not agree with the rest`, {
    field: name,
    value: shortText(fields[name]),
    expected,
  });
}

function shortText(value: unknown): string {
  if (typeof value !== "string") return value === null ? "null" : typeof value;
  return value.length > 80 ? `${value.slice(0, 80)}…` : value;
}
