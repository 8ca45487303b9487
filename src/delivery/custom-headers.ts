/**
 * Headers that a merchant wants with its callbacks: a token for its gateway, a tenant's name. Those that carry the
 * request itself, or say who signed it, are ours.
 */
import { InputError } from "../core/errors.ts";

export type CustomHeaders = Readonly<Record<string, string>>;

const MOST_HEADERS = 20;
const LONGEST_VALUE = 2_000;

/** A token (RFC 9110, 5.6.2), and a value of visible ASCII with spaces inside. */
const NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;
const VALUE = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;

const RESERVED = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "date",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "via",
]);
const RESERVED_BEGINNINGS = ["webhook-", "proxy-", "sec-"];

/**
 * Names become lower case, as they mean the same in any.
 *
 * @throws {InputError} `invalid_request`
 */
export function parseCustomHeaders(given: CustomHeaders): CustomHeaders {
  const headers = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value] as const);
  if (headers.length > MOST_HEADERS) throw refuse(`may be ${MOST_HEADERS} at most`);
  if (new Set(headers.map(([name]) => name)).size < headers.length) throw refuse("name one of them twice");
  for (const [name, value] of headers) {
    if (!NAME.test(name)) throw refuse("have a name that no header can have", name.slice(0, 100));
    if (isReserved(name)) throw refuse(`have one that is reserved: ${name}`, name);
    // The value itself is not told: it may be a token.
    if (value.length > LONGEST_VALUE || !VALUE.test(value))
      throw refuse(`have a value that cannot be sent: that of ${name}`, name);
  }
  return Object.fromEntries(headers);
}

function isReserved(name: string): boolean {
  return RESERVED.has(name) || RESERVED_BEGINNINGS.some((beginning) => name.startsWith(beginning));
}

function refuse(why: string, name?: string): InputError {
  return new InputError("invalid_request", `The headers ${why}`, { path: "headers", name });
}
