/**
 * The names of what a block is made of: its header's fields, the types of its receipts and their fields. A name
 * that was in no proved block before is the only innocent reason why a block may not be provable any more: a
 * fork has added it.
 */
import { type Fields, isFields } from "../answer.ts";
import { findType, typeName } from "./envelope-type.ts";
import type { BlockProof } from "./proof-level.ts";

/** What a node says may be long and much. Beyond this it explains nothing. */
const MAX_NAMES = 300;
const MAX_NAME_LENGTH = 64;

/**
 * `header.<field>`, `type.<type>` and `receipt.<type>.<field>`, the last of the first receipt of each type: a
 * fork changes all of them, a forger perhaps another one.
 */
export function blockShape(header: unknown, receipts: readonly unknown[]): string[] {
  const names: string[] = [];
  if (isFields(header)) addNames(names, "header", header);
  const seen = new Set<number>();
  for (const receipt of receipts) {
    const type = isFields(receipt) ? findType(receipt) : null;
    if (!isFields(receipt) || type === null || seen.has(type)) continue;
    seen.add(type);
    names.push(`type.${typeName(type)}`);
    addNames(names, `receipt.${typeName(type)}`, receipt);
    if (names.length >= MAX_NAMES) break;
  }
  return names.slice(0, MAX_NAMES);
}

function addNames(names: string[], scope: string, fields: Fields): void {
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if (value !== undefined && value !== null && name.length <= MAX_NAME_LENGTH)
      names.push(`${scope}.${name}`);
  }
}

/** Names that cannot be why something is not proved, since with them it was. */
export function provedNames({ parts, shape }: Pick<BlockProof, "parts" | "shape">): string[] {
  if (!parts.header.isProved) return [];
  return parts.receipts.isProved ? [...shape] : shape.filter((name) => name.startsWith("header."));
}
