/** One line of an import: an address and whose it is, as NDJSON or as CSV. */
import { InputError } from "../core/errors.ts";
import { parseAddress } from "../core/hex.ts";
import { USER_ID, USER_ID_RULE } from "../core/user-id.ts";
import type { Assignment } from "./address-store.ts";

/**
 * Reads `{ "address": "0x…", "userId": "…" }` or `0x…,userId`. A user id in quotes is as CSV has it (RFC 4180):
 * quotes are doubled in it. Without quotes everything after the first comma is the user id.
 *
 * @returns `null` for an empty line, and for the heading `address,userId`
 * @throws {InputError} `invalid_address` or `invalid_request`
 */
export function readAssignment(line: string): Assignment | null {
  const text = line.trim();
  if (text === "" || HEADING.test(text)) return null;
  const given = text.startsWith("{") ? readJson(text) : readCsv(text);
  if (!USER_ID.test(given.userId)) throw new InputError("invalid_request", `userId ${USER_ID_RULE}`);
  return { address: parseAddress(given.address), userId: given.userId };
}

const HEADING = /^"?address"?,"?user_?id"?$/i;

interface Given {
  readonly address: string;
  readonly userId: string;
}

function readJson(text: string): Given {
  const { address, userId, ...others } = parseObject(text);
  if (typeof address !== "string" || typeof userId !== "string")
    throw new InputError("invalid_request", "address and userId must be texts");
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new InputError("invalid_request", `${JSON.stringify(unknown)} is not known here`);
  return { address, userId };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    // It begins with a brace, so what it parses to is an object.
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new InputError("invalid_request", "The line is not valid JSON");
  }
}

const QUOTED = /^"((?:[^"]|"")*)"$/;

function readCsv(text: string): Given {
  const comma = text.indexOf(",");
  if (comma < 0) throw new InputError("invalid_request", "The line must be address,userId");
  const field = (part: string) => QUOTED.exec(part.trim())?.[1]?.replaceAll('""', '"') ?? part.trim();
  return { address: field(text.slice(0, comma)), userId: field(text.slice(comma + 1)) };
}
