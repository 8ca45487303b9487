/**
 * Writes what came of attempts, many in one transaction: while one batch is being written the next one gathers,
 * so a single outcome is written at once and a flood of them with few commits. When the database is away it keeps
 * them and tries again; what it cannot write before the process ends is attempted again when the claim runs out.
 */
import { coerceError, isRetryable } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { type HandedBackClaim, releaseClaims } from "./claim-store.ts";
import type { DisabledEndpoint, RecordedAttempt, RecordResult } from "./outcome-store.ts";

/** An attempt that ended, before it is written. */
export interface EndedAttempt extends Omit<RecordedAttempt, "startedMsAgo"> {
  /** By the monotonic clock. */
  readonly startedAt: number;
}

export interface OutcomeRecorder {
  add(attempt: EndedAttempt): void;
  handBack(claim: HandedBackClaim): void;
  /** How many are not written yet. */
  readonly size: number;
  /** Gives up what is not written yet: those claims run out by themselves. */
  close(): void;
}

const MAX_BATCH = 500;
/** After a batch that is smaller than this, what ends soon is waited for a little. */
const GOOD_BATCH = 250;
const GATHER_MS = 15;
const RETRY_MS = 1_000;

export function createOutcomeRecorder(parts: {
  readonly sql: Sql;
  /** Writes a batch in one transaction. */
  readonly record: (attempts: readonly RecordedAttempt[]) => Promise<RecordResult>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onWritten: (result: RecordResult) => void;
  /** Everything is written. */
  readonly onEmpty: () => void;
}): OutcomeRecorder {
  let attempts: EndedAttempt[] = [];
  let handedBack: HandedBackClaim[] = [];
  let isWriting = false;
  const closed = new AbortController();

  async function writeAll(): Promise<void> {
    while (attempts.length + handedBack.length > 0 && !closed.signal.aborted) {
      try {
        await writeBatch();
        if (attempts.length < GOOD_BATCH) await parts.clock.sleep(GATHER_MS, closed.signal);
      } catch (rawError) {
        const left = attempts.length + handedBack.length;
        parts.logger.warn("Failed to record attempts; trying again", {
          error: coerceError(rawError),
          attempt_count: left,
        });
        await parts.clock.sleep(RETRY_MS, closed.signal);
      }
    }
  }

  async function writeBatch(): Promise<void> {
    const claims = handedBack.slice(0, MAX_BATCH);
    await releaseClaims(parts.sql, claims);
    handedBack = handedBack.slice(claims.length);

    const batch = attempts.slice(0, MAX_BATCH);
    if (batch.length === 0) return;
    const result = await record(batch);
    attempts = attempts.slice(batch.length);
    parts.onWritten(result);
  }

  async function record(batch: readonly EndedAttempt[]): Promise<RecordResult> {
    const now = parts.clock.monotonic();
    const timed = batch.map((attempt) => ({ ...attempt, startedMsAgo: now - attempt.startedAt }));
    try {
      return await parts.record(timed);
    } catch (rawError) {
      if (isRetryable(rawError)) throw rawError;
      return recordOneByOne(parts.record, parts.logger, timed);
    }
  }

  function start(): void {
    if (isWriting) return;
    isWriting = true;
    void writeAll().then(() => {
      isWriting = false;
      // What came after the writer's last look found it still writing.
      if (attempts.length + handedBack.length > 0 && !closed.signal.aborted) start();
      else parts.onEmpty();
    });
  }

  return {
    add: (attempt) => {
      attempts.push(attempt);
      start();
    },
    handBack: (claim) => {
      handedBack.push(claim);
      start();
    },
    get size() {
      return attempts.length + handedBack.length;
    },
    close: () => {
      closed.abort();
      const left = attempts.length + handedBack.length;
      if (left > 0) parts.logger.warn("Stopped before all attempts were recorded", { attempt_count: left });
    },
  };
}

/** The database refused the batch for what is in it: one bad row must not hold up the others. */
async function recordOneByOne(
  record: (attempts: readonly RecordedAttempt[]) => Promise<RecordResult>,
  logger: Logger,
  attempts: readonly RecordedAttempt[],
): Promise<RecordResult> {
  const deliveryIds = new Set<string>();
  const disabled: DisabledEndpoint[] = [];
  const pausedEndpointIds: string[] = [];
  for (const attempt of attempts) {
    try {
      const result = await record([attempt]);
      for (const id of result.deliveryIds) deliveryIds.add(id);
      disabled.push(...result.disabled);
      pausedEndpointIds.push(...result.pausedEndpointIds);
    } catch (rawError) {
      if (isRetryable(rawError)) throw rawError;
      logger.error("Dropped an attempt that could not be recorded; its delivery is attempted again", {
        error: coerceError(rawError),
        delivery_id: attempt.claim.deliveryId,
        attempt: attempt.claim.attempt,
      });
    }
  }
  return { deliveryIds, disabled, pausedEndpointIds };
}
