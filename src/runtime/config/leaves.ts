/**
 * The single values of a config: how each is written and what it becomes. Messages begin with "expected"; the
 * fault adds what stands there.
 */
import { z } from "zod";
import { NATIVE_LOG_ADDRESS } from "../../core/chain.ts";
import { coerceError } from "../../core/errors.ts";
import { type Address, parseAddress } from "../../core/hex.ts";
import { formatDuration, parseDuration } from "./duration.ts";

const ZERO_ADDRESS: Address = `0x${"0".repeat(40)}`;

/** A leaf that `read` turns into its value; `undefined` from it is a fault. */
function leaf<Value>(expected: string, read: (value: unknown) => Value | undefined) {
  return z.unknown().transform((value, context): Value => {
    const result = read(value);
    if (result !== undefined) return result;
    context.issues.push({ code: "custom", message: `expected ${expected}`, input: value });
    return z.NEVER;
  });
}

/** Digits in text count too: a variable always gives text. */
export function integer(minimum: number, maximum: number) {
  return leaf(`a whole number from ${minimum} to ${maximum}`, (value) => {
    const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
    const isInRange = Number.isSafeInteger(number) && Number(number) >= minimum && Number(number) <= maximum;
    return isInRange ? Number(number) : undefined;
  });
}

export const boolean = leaf("true or false", (value) => {
  if (value === true || value === "true") return true;
  return value === false || value === "false" ? false : undefined;
});

export function text(expected: string, pattern: RegExp) {
  return leaf(expected, (value) => (typeof value === "string" && pattern.test(value) ? value : undefined));
}

/** Becomes milliseconds. */
export function duration(minimumMs: number, maximumMs: number) {
  const range = `from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}`;
  return leaf(`a duration with its unit (ms, s, m, h or d) ${range}`, (value) => {
    const milliseconds = typeof value === "string" ? parseDuration(value) : undefined;
    return milliseconds !== undefined && milliseconds >= minimumMs && milliseconds <= maximumMs
      ? milliseconds
      : undefined;
  });
}

export function url(...schemes: string[]) {
  return leaf(expectedUrl(schemes), (value) => readUrl(value, schemes));
}

/** A URL, or empty text for "none". */
export function optionalUrl(...schemes: string[]) {
  return leaf(`${expectedUrl(schemes)}, or nothing`, (value) =>
    value === "" ? null : readUrl(value, schemes),
  );
}

/** The operator's own service: it may be anywhere, but what signs in to it has a key of its own. */
export const screeningUrl = leaf(
  `${expectedUrl(["http", "https"])}, without user name, password or #fragment`,
  (value) => {
    const read = readUrl(value, ["http", "https"]);
    if (read === undefined) return undefined;
    const { username, password, hash } = new URL(read);
    return username === "" && password === "" && hash === "" ? read : undefined;
  },
);

/** A secret of Standard Webhooks; becomes its bytes as base64. What stands there is never shown. */
export const webhookSecret = z.unknown().transform((value, context): string => {
  const [, base64] = typeof value === "string" ? (/^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(value) ?? []) : [];
  const length = Buffer.from(base64 ?? "", "base64").length;
  if (base64 !== undefined && length >= 24 && length <= 64) return base64;
  const message = value === undefined ? "missing, " : "";
  context.issues.push({
    code: "custom",
    message: `${message}it has to be "whsec_" and the base64 of 24 to 64 random bytes (openssl rand -base64 32)`,
    input: undefined,
  });
  return z.NEVER;
});

function expectedUrl(schemes: readonly string[]): string {
  return `a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(" or ")}`;
}

function readUrl(value: unknown, schemes: readonly string[]): string | undefined {
  if (typeof value !== "string" || !URL.canParse(value)) return undefined;
  return schemes.includes(new URL(value).protocol.slice(0, -1)) ? value : undefined;
}

export function oneOf<const Choice extends string>(choices: readonly Choice[], meaning = "") {
  return leaf(`${choices.map((choice) => `"${choice}"`).join(" or ")}${meaning}`, (value) =>
    choices.find((choice) => choice === value),
  );
}

/**
 * An amount of money, still as text: how many digits may stand after its point, its asset says. A YAML number is
 * refused, because it would have passed through a floating-point number before anybody could see it.
 */
export const amountText = leaf('an amount in quotes, such as "0.001"', (value) =>
  typeof value === "string" ? value : undefined,
);

/** An address that `refuse` has nothing against; what it answers is the fault. */
function addressLeaf(refuse: (address: Address) => string | undefined) {
  return z.unknown().transform((value, context): Address => {
    const read = readAddress(value);
    const fault = read instanceof Error ? read.message : refuse(read);
    if (fault === undefined && !(read instanceof Error)) return read;
    context.issues.push({ code: "custom", message: fault ?? "expected an address", input: value });
    return z.NEVER;
  });
}

export const walletAddress = addressLeaf(() => undefined);

export const tokenAddress = addressLeaf((address) => {
  if (address === ZERO_ADDRESS)
    return "the zero address is no token; the native coin is configured under native";
  if (address === NATIVE_LOG_ADDRESS)
    return "this is the log of native transfers (EIP-7708), not a token: it would count them a second time";
  return undefined;
});

function readAddress(value: unknown): Address | Error {
  if (typeof value !== "string")
    return new Error('expected an address in quotes (without them YAML reads a number), such as "0x…"');
  try {
    return parseAddress(value);
  } catch (rawError) {
    return new Error(`expected an address: ${coerceError(rawError).message.replace(/^address /, "it ")}`);
  }
}
