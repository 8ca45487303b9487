/** The type of a transaction or a receipt (EIP-2718): the byte in front of its encoding. */
import type { Fields } from "../answer.ts";
import { quote, Unprovable } from "./proof.ts";

/** Has no byte in front. Nodes of before 2021 tell no type at all. */
export const LEGACY = 0;
/** A deposit from the chain below, on the OP stack. */
export const OP_DEPOSIT = 0x7e;
/** The first of every block of Arbitrum: its own bookkeeping. */
export const ARBITRUM_INTERNAL = 0x6a;

/** From 0x80 on the byte would be the beginning of a list, that is of a legacy transaction. */
const LAST_TYPE = 0x7f;
const TYPE = /^0x[0-9a-f]{1,2}$/i;
/** As nearly all nodes write them. Each is looked up some five times. */
const TYPES: ReadonlyMap<unknown, number> = new Map(
  Array.from({ length: LAST_TYPE + 1 }, (_, type) => [`0x${type.toString(16)}`, type]),
);

/** @throws {Unprovable} `unreadable` when it is none that can be */
export function readType(fields: Fields): number {
  const type = findType(fields);
  if (type !== null) return type;
  throw new Unprovable("unreadable", `A type is not one: ${quote(fields["type"])}`);
}

/** `null` when it is none that can be. */
export function findType(fields: Fields): number | null {
  const told = fields["type"];
  const known = TYPES.get(told);
  if (known !== undefined) return known;
  if (told === undefined || told === null) return LEGACY;
  const type = typeof told === "string" && TYPE.test(told) ? Number(told) : Number.NaN;
  return type <= LAST_TYPE ? type : null;
}

export function typeName(type: number): string {
  return `0x${type.toString(16).padStart(2, "0")}`;
}
