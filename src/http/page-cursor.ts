/** The opaque `cursor` of lists: where the next page begins. */
import { InputError } from "../core/errors.ts";

/** The last item of a page. */
export interface PageEnd {
  readonly at: Date;
  readonly id: string;
}

export function encodeCursor(end: PageEnd): string {
  return Buffer.from(JSON.stringify([end.at.toISOString(), end.id])).toString("base64url");
}

/** @throws {InputError} `invalid_cursor` for anything that `encodeCursor` did not make. */
export function decodeCursor(text: string): PageEnd {
  const [time, id] = readPair(text);
  const at = new Date(time);
  if (Number.isNaN(at.getTime()) || !/^[\w-]{1,64}$/.test(id)) throw invalid();
  return { at, id };
}

function readPair(text: string): [time: string, id: string] {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    throw invalid();
  }
  const [time, id] = Array.isArray(value) ? (value as unknown[]) : [];
  if (typeof time !== "string" || typeof id !== "string") throw invalid();
  return [time, id];
}

function invalid(): InputError {
  return new InputError("invalid_cursor", "The cursor is not one that a page of this list ended with");
}

/** Cuts a list that was asked for with one item more than the page holds. */
export function toPage<Item>(items: readonly Item[], limit: number, end: (item: Item) => PageEnd) {
  const page = items.slice(0, limit);
  const last = page.at(-1);
  const nextCursor = items.length > limit && last !== undefined ? encodeCursor(end(last)) : null;
  return { items: page, nextCursor };
}
