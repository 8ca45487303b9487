/** The `review` part of a config: what holds a deposit back before it is credited, and how it is let go. */
import { z } from "zod";
import { NO_ANSWER_CHOICES } from "./config.ts";
import {
  amountText,
  boolean,
  duration,
  integer,
  oneOf,
  screeningUrl,
  text,
  webhookSecret,
} from "./leaves.ts";

const SECOND = 1_000;
const HOUR = 3_600_000;

/** Six questions within five minutes: most deposits wait that long for their depth anyway. */
const DEFAULT_SCREENING_SCHEDULE_MS = [0, 2 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 180 * SECOND];

export const limitShape = z.strictObject(
  {
    currency: text("a currency of 1 to 32 characters without spaces", /^\S{1,32}$/),
    chain: integer(1, Number.MAX_SAFE_INTEGER).optional(),
    over: amountText,
  },
  { error: "expected { currency, chain, over }" },
);
export type LimitShape = z.output<typeof limitShape>;

const screeningShape = z.strictObject(
  {
    url: screeningUrl,
    secret: webhookSecret,
    // A service that looks into several sources takes seconds.
    timeout: duration(50, 120 * SECOND).default(10 * SECOND),
    schedule: z
      .array(duration(0, 24 * HOUR), { error: "expected a list of durations" })
      .min(1, { error: "expected one attempt or more" })
      .max(50, { error: "expected at most 50 attempts" })
      .default(DEFAULT_SCREENING_SCHEDULE_MS),
    // The safe side: nobody said that it may be credited.
    onNoAnswer: oneOf(NO_ANSWER_CHOICES).default("hold"),
    concurrency: integer(1, 256).default(8),
  },
  { error: "expected { url, secret, timeout, schedule, onNoAnswer, concurrency }" },
);

export const reviewShape = z
  .strictObject(
    {
      fourEyes: boolean.default(false),
      limits: z.array(limitShape, { error: "expected a list of { currency, chain, over }" }).default([]),
      senderLists: z
        .array(text("a file", /^[^\0]+$/), { error: "expected a list of files" })
        .max(100, { error: "expected at most 100 files" })
        .default([]),
      screening: screeningShape.nullable().default(null),
    },
    { error: "expected { fourEyes, limits, senderLists, screening }" },
  )
  .prefault({});
export type ReviewShape = z.output<typeof reviewShape>;
