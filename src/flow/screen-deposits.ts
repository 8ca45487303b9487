/**
 * Asks the screening service about pending deposits: claim a question → ask, outside any transaction → note what came
 * of it, fenced by the claim → settle, as the deposit may have waited for nothing else.
 *
 * The questions are rows, made with the deposits; those of deposits from before a service was configured, or from a
 * scanner that knows of none, are made here. A process that dies loses nothing: its claims run out. Any number of
 * processes may work at once.
 */

import type { Deposit } from "../core/deposit.ts";
import { coerceError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import { callbackHeaders } from "../delivery/callback-request.ts";
import { createEgress, type Egress } from "../delivery/egress.ts";
import { listStillPending } from "../deposits/pending-store.ts";
import { readScreeningAnswer, screeningQuestion } from "../review/screening-question.ts";
import {
  type ClaimedScreening,
  claimScreenings,
  deleteScreenings,
  insertMissingScreenings,
  recordScreening,
  type ScreeningOutcome,
} from "../review/screening-store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ScreeningConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import { findChainState } from "../scanner/chain-store.ts";
import type { Wakers } from "./wake-workers.ts";

export interface ScreenerParts {
  readonly database: Database;
  /** As it is in force now; `null`: nobody is asked. */
  readonly screening: () => ScreeningConfig | null;
  readonly wakers: Pick<Wakers, "settleNow">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly sweepIntervalMs: number;
  readonly onAttempt?: (result: ScreeningResult, durationMs: number) => void;
}

/** `failed`: no answer this time; `no_answer`: for the last time. */
export type ScreeningResult = "approve" | "hold" | "reject" | "failed" | "no_answer";

/** How late a question may be asked, and a changed config noticed. */
const LOOK_MS = 500;
/** Beyond the time limit of an attempt: to record what came of it, on a machine under load. */
const RECORDING_MS = 15_000;
/** After an attempt that failed for a reason of this machine's own. It does not count. */
const POSTPONE_MS = 10_000;
/** What a `retry-after` may ask for: a credit waits for it. */
const LONGEST_ASKED_MS = 600_000;
const MISSING_PER_QUERY = 5_000;

/** Until the signal aborts; what is under way then is handed back. @throws what the database throws */
export async function screenDeposits(parts: ScreenerParts, signal: AbortSignal): Promise<void> {
  const { clock } = parts;
  const egress = createEgress({ allowPrivateTargets: true, clock });
  const underWay = new Set<Promise<void>>();
  let failure: Error | undefined;
  const begin = (attempt: Promise<void>) => {
    const tracked = attempt
      .catch((rawError: unknown) => {
        failure ??= coerceError(rawError);
      })
      .finally(() => underWay.delete(tracked));
    underWay.add(tracked);
  };
  const sweepIfDue = sweeper(parts);
  try {
    while (!signal.aborted) {
      if (failure !== undefined) throw failure;
      const config = parts.screening();
      if (config !== null) {
        await sweepIfDue();
        const free = config.concurrency - underWay.size;
        for (const claimed of await claimQuestions(parts, config, free))
          begin(screen({ ...parts, egress, config, signal }, claimed));
      }
      await Promise.race([...underWay, clock.sleep(LOOK_MS, signal)]);
    }
  } finally {
    await egress.destroy();
    await Promise.all(underWay);
  }
}

/** At the start, and once in a while: rows for pending deposits that have none. */
function sweeper({ database, clock, logger, sweepIntervalMs }: ScreenerParts): () => Promise<void> {
  let nextAt = 0;
  return async () => {
    if (clock.monotonic() < nextAt) return;
    const count = await insertMissingScreenings(database, MISSING_PER_QUERY);
    if (count > 0) logger.info("Found pending deposits that nobody asked about", { deposit_count: count });
    if (count < MISSING_PER_QUERY) nextAt = clock.monotonic() + sweepIntervalMs;
  };
}

interface Question {
  readonly claimed: ClaimedScreening;
  readonly deposit: Deposit;
}

/** Claims of deposits that are not pending any more end here: nobody waits for their answer. */
async function claimQuestions(
  { database }: ScreenerParts,
  { timeoutMs }: ScreeningConfig,
  limit: number,
): Promise<Question[]> {
  if (limit <= 0) return [];
  const claims = await claimScreenings(database, limit, timeoutMs + RECORDING_MS);
  const deposits = new Map(
    (await listStillPending(database, claims)).map((deposit) => [deposit.id, deposit]),
  );
  await deleteScreenings(
    database,
    claims.filter(({ depositId }) => !deposits.has(depositId)),
  );
  return claims.flatMap((claimed) => {
    const deposit = deposits.get(claimed.depositId);
    return deposit === undefined ? [] : [{ claimed, deposit }];
  });
}

interface Asking extends ScreenerParts {
  readonly egress: Egress;
  readonly config: ScreeningConfig;
  readonly signal: AbortSignal;
}

async function screen(asking: Asking, { claimed, deposit }: Question): Promise<void> {
  const { database, wakers } = asking;
  const attempt = await ask(asking, claimed, deposit);
  const outcome = outcomeOf(attempt, claimed, asking);
  const isTaken = await recordScreening(database, claimed, outcome);
  tell(asking, claimed, attempt, outcome);
  if (!isTaken || outcome.next === "again") return;
  const chain = await findChainState(database, deposit.chainId);
  if (chain !== undefined && chain.cursorNumber !== null)
    await wakers.settleNow(deposit.chainId, chain.cursorNumber);
}

/** Signed as callbacks are; the id is the same on every attempt, so that the service may answer as it did before. */
function ask({ egress, clock, config }: Asking, claimed: ClaimedScreening, deposit: Deposit) {
  const body = screeningQuestion(deposit);
  const key = { scheme: "v1" as const, secret: Buffer.from(config.secret, "base64") };
  const id = `${claimed.depositId}-${claimed.generation}`;
  const headers = callbackHeaders({ id, body, keys: [key], nowMs: clock.now() });
  return egress.attempt({ url: config.url, headers, body, timeoutMs: config.timeoutMs });
}

function outcomeOf(
  attempt: AttemptOutcome,
  { failures }: ClaimedScreening,
  { config, signal }: Asking,
): ScreeningOutcome {
  const screening = attempt.error === null ? readScreeningAnswer(attempt.responseBody ?? "") : undefined;
  if (screening !== undefined) return { next: "ended", screening };
  const detail = problemOf(attempt);
  if (attempt.error === "local")
    return { next: "again", waitMs: signal.aborted ? 0 : POSTPONE_MS, detail, isFailure: false };
  const scheduledMs = config.scheduleMs[failures + 1];
  if (scheduledMs === undefined) return { next: "ended", screening: { state: "no_answer", detail } };
  const askedMs = Math.min(attempt.retryAfterMs ?? 0, LONGEST_ASKED_MS);
  return { next: "again", waitMs: Math.max(scheduledMs, askedMs), detail, isFailure: true };
}

/** Never the URL, and nothing of what was answered. */
function problemOf({ error, errorCode, httpStatus }: AttemptOutcome): string {
  if (error === null) return "what it answered is no answer";
  return [error, httpStatus ?? errorCode].filter((part) => part !== null).join(" ");
}

function tell(
  { logger, onAttempt }: Asking,
  claimed: ClaimedScreening,
  { durationMs, httpStatus }: AttemptOutcome,
  outcome: ScreeningOutcome,
): void {
  const result = outcome.next === "again" ? "failed" : outcome.screening.state;
  onAttempt?.(result, durationMs);
  const fields = {
    deposit_id: claimed.depositId,
    generation: claimed.generation,
    attempt: claimed.failures + 1,
    result,
    problem: result === "failed" || result === "no_answer" ? detailOf(outcome) : null,
    http_status: httpStatus,
    duration_ms: durationMs,
    next_attempt_in_ms: outcome.next === "again" ? outcome.waitMs : null,
  };
  if (result === "no_answer") logger.error("Asked the screening service for the last time", fields);
  else if (result === "failed") logger.warn("Asked the screening service", fields);
  else logger.info("Asked the screening service", fields);
}

function detailOf(outcome: ScreeningOutcome): string | null {
  return outcome.next === "again" ? outcome.detail : outcome.screening.detail;
}
