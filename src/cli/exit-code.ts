/** How a command ended, for scripts. */
import { DepositdError, type ErrorCode, InputError } from "../core/errors.ts";

export const EXIT = {
  done: 0,
  /** Refused, or failed for good: the same command again will not help. */
  failed: 1,
  /** Bad usage or config. */
  usage: 2,
  /** Temporary: try again (EX_TEMPFAIL of sysexits.h). */
  temporary: 75,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Well said, but what is there already says no. */
const REFUSALS: readonly ErrorCode[] = [
  "name_taken",
  "address_taken",
  "extended_key_taken",
  "not_found",
  "forbidden",
  "deposit_not_held",
  "deposit_changed",
  "review_decided",
  "operator_required",
  "second_operator_required",
  "chain_halted",
];

export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof DepositdError)) return EXIT.failed;
  if (error.retryable) return EXIT.temporary;
  return error instanceof InputError && !REFUSALS.includes(error.code) ? EXIT.usage : EXIT.failed;
}
