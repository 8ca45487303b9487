/** Values that requests carry, and how they are read. */
import { z } from "zod";
import { DEPOSIT_STATUSES } from "../core/deposit.ts";
import { DepositdError, InputError } from "../core/errors.ts";
import { EVENT_TYPES } from "../core/event.ts";
import { type Address, type Hash, parseAddress, parseHash } from "../core/hex.ts";
import { ORDER_NO, ORDER_NO_RULE, ORDER_STATUSES } from "../core/order.ts";
import { SEEN_STATUSES } from "../core/seen-payment.ts";
import { USER_ID, USER_ID_RULE } from "../core/user-id.ts";
import { parseWatchFrom } from "../core/watch-from.ts";
import { parseDuration } from "../runtime/config/duration.ts";

/** A text that one of the core's readers reads; its error becomes an issue with the reader's own code. */
function readBy<Value>(read: (text: string) => Value) {
  return z.string().transform(reading(read));
}

function reading<Given, Value>(read: (given: Given) => Value) {
  return (given: Given, context: z.core.$RefinementCtx): Value => {
    try {
      return read(given);
    } catch (rawError) {
      if (!(rawError instanceof DepositdError)) throw rawError;
      context.issues.push({
        code: "custom",
        message: rawError.message,
        params: { code: rawError.code },
        input: given,
      });
      return z.NEVER;
    }
  };
}

export const address = readBy((text): Address => parseAddress(text, "it")).meta({
  description: "0x and 40 hexadecimal digits; mixed case must be a right EIP-55 checksum.",
  pattern: "^0[xX][0-9a-fA-F]{40}$",
});

export const hash = readBy((text): Hash => parseHash(text, "it")).meta({
  description: "0x and 64 hexadecimal digits.",
  pattern: "^0x[0-9a-fA-F]{64}$",
});

export const watchFrom = z
  .union([z.string(), z.record(z.string(), z.number())], {
    error: "must be a time like 2026-01-31T12:00:00Z, or block numbers by chain id",
  })
  .transform(reading(parseWatchFrom))
  .meta({
    description:
      'Since when the past is to be looked at for this address: a time (RFC 3339) for every chain, or a first block by chain id, e.g. { "1": 19000000 }.',
  });

export const userId = z.string().regex(USER_ID, { error: USER_ID_RULE }).meta({
  description: "The merchant's own name for the user, 1 to 200 characters.",
  pattern: undefined,
  minLength: 1,
  maxLength: 200,
});

export const orderNo = z.string().regex(ORDER_NO, { error: ORDER_NO_RULE }).meta({
  description: "The merchant's own name for the order, 1 to 200 characters.",
  pattern: undefined,
  minLength: 1,
  maxLength: 200,
});

const LONGEST_LIFETIME_S = 30 * 86_400;
const DEFAULT_LIFETIME_S = 3_600;
const LIFETIME_RULE = 'must be whole seconds, as a number or a text such as "30m", from 1 second to 30 days';

/** Seconds. */
export const expiresIn = z
  .union([z.number(), z.string()], { error: LIFETIME_RULE })
  .transform(reading(readLifetime))
  .default(DEFAULT_LIFETIME_S)
  .meta({
    description: 'How long until it expires: whole seconds, or a text such as "30m"; at most 30 days.',
    default: DEFAULT_LIFETIME_S,
  });

function readLifetime(given: number | string): number {
  const seconds = typeof given === "number" ? given : (parseDuration(given) ?? Number.NaN) / 1000;
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= LONGEST_LIFETIME_S) return seconds;
  throw new InputError("invalid_request", LIFETIME_RULE);
}

/** What people write beside what they do. */
export const NOTE = /^[^\p{Cs}\0]{1,500}$/u;
export const NOTE_RULE = "must be 1 to 500 characters";

/** An id of ours; what cannot be one is unknown, like one that nobody has. */
export const id = z.string().regex(/^[\w-]{1,64}$/, { error: "is not an id" });

export const depositStatus = z.enum(DEPOSIT_STATUSES);
export const orderStatus = z.enum(ORDER_STATUSES);
export const seenStatus = z.enum(SEEN_STATUSES);
export const eventType = z.enum(EVENT_TYPES);

const MAX_LIMIT = 200;
const DEFAULT_LIMIT = 50;

/** How much of a list, and from where. */
export const pageQuery = {
  limit: z
    .string()
    .regex(/^\d{1,3}$/, { error: `must be a number from 1 to ${MAX_LIMIT}` })
    .transform(Number)
    .pipe(z.int().min(1).max(MAX_LIMIT))
    .default(DEFAULT_LIMIT)
    .meta({
      description: "How many items at most.",
      type: "integer",
      minimum: 1,
      maximum: MAX_LIMIT,
      default: DEFAULT_LIMIT,
      pattern: undefined,
    }),
  cursor: z.string().max(500).optional().meta({ description: "`nextCursor` of the page before." }),
};
