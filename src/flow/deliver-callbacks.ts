/**
 * [tx per batch of outcomes] Carries events to endpoints: claim due deliveries → one HTTP attempt each, outside
 * any transaction → outcomes, many in one statement, each fenced by its attempt's number.
 *
 * The pump runs while there is anything to claim, under way or to record, and rests otherwise. It is started by a
 * nudge (a commit with deliveries, a job whose time has come) and by the sweep, so a lost nudge costs time only.
 * A process that dies loses nothing either: its claims run out, and whoever sweeps next attempts them again,
 * under the same id and with the same body.
 */
import { coerceError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import {
  type ClaimedDelivery,
  claimDeliveries,
  failDeliveriesOfDeletedEndpoints,
  nextAttemptInMs,
  type RecordResult,
} from "../delivery/delivery-store.ts";
import { createEgress, type Egress } from "../delivery/egress.ts";
import { createEndpointWindows } from "../delivery/endpoint-windows.ts";
import { createOutcomeRecorder } from "../delivery/outcome-recorder.ts";
import { type Decision, decide, disablesEndpoint } from "../delivery/retry-schedule.ts";
import type { Clock } from "../runtime/clock.ts";
import type { CallbacksConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { attemptDelivery, logAttempt } from "./attempt-delivery.ts";

export interface DelivererParts {
  readonly database: Database;
  readonly secretBox: SecretBox;
  /** Asked at each attempt for timeout and schedule; what else it says holds from the start on. */
  readonly callbacks: () => CallbacksConfig;
  readonly sweepIntervalMs: number;
  /** How long a stop may take: most of it is for attempts under way, the rest to record and hand back. */
  readonly shutdownGraceMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** When the next retry is due, by this machine's clock. Told each time the pump comes to rest. */
  readonly onRetryAt?: (time: Date) => void;
  readonly onAttempt?: (attempt: AttemptReport) => void;
  /** Instead of one made by the config. */
  readonly egress?: Egress;
}

/** For metrics. */
export interface AttemptReport {
  readonly outcome: AttemptOutcome;
  readonly decision: Decision["next"];
  /** From the event's commit to the end of this attempt. */
  readonly eventAgeMs: number;
}

export interface Deliverer {
  /** There may be something due. Returns at once. */
  nudge(): void;
  /** Resolves when nothing is due any more and everything under way is recorded. Never rejects. */
  drain(): Promise<void>;
  /** Sweeps until the signal aborts, then stops for good. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** An attempt's limit and this for its recording: a claim must not run out before. */
const LEASE_MARGIN_MS = 30_000;
/** Between two claims, unless the one before was full: a nudge for each commit is not a claim for each commit. */
const CLAIM_PAUSE_MS = 5;
const DELETED_BATCH = 10_000;
const ATTEMPTS_GRACE = 0.7;

export function createDeliverer(parts: DelivererParts): Deliverer {
  const { clock, database, logger } = parts;
  const { concurrency, allowPrivateTargets } = parts.callbacks();
  const egress = parts.egress ?? createEgress({ allowPrivateTargets, connectionsPerOrigin: concurrency, clock });
  const windows = createEndpointWindows(concurrency);
  const recorder = createOutcomeRecorder({ sql: database, clock, logger, onWritten });
  const stopping = new AbortController();

  let underWay = 0;
  let wantsClaim = false;
  let claimAfter = "";
  const isHandingBack = false;
  let pumping: Promise<void> | undefined;
  let noticeChange = () => {};

  function nudge(): void {
    if (stopping.signal.aborted) return;
    wantsClaim = true;
    noticeChange();
    pumping ??= pump().finally(() => {
      pumping = undefined;
      // A nudge between the pump's last look and here found it still running.
      if (wantsClaim) nudge();
    });
  }

  async function pump(): Promise<void> {
    while (underWay + recorder.size > 0 || wantsClaim) {
      if (wantsClaim && hasRoom()) await claim();
      else
        await new Promise<void>((resolve) => {
          noticeChange = resolve;
        });
    }
    await tellNextRetry();
  }

  /** Outcomes that pile up (the database is slow or away) hold up new attempts. */
  function hasRoom(): boolean {
    return underWay < concurrency && recorder.size < 2 * concurrency;
  }

  async function claim(): Promise<void> {
    wantsClaim = false;
    const limit = concurrency - underWay;
    try {
      const { deliveries, next, mayHaveMore } = await claimDeliveries(database, {
        limit,
        perEndpoint: windows.freeOtherwise,
        freeByEndpoint: windows.freeByEndpoint(),
        leaseMs: parts.callbacks().timeoutMs + LEASE_MARGIN_MS,
        after: claimAfter,
      });
      // The round is over when its end is reached, and all was looked at only when it began at the beginning.
      if (next !== null || claimAfter !== "" || mayHaveMore) wantsClaim = true;
      claimAfter = next ?? "";
      for (const each of deliveries) begin(each);
      if (deliveries.length < limit) await clock.sleep(CLAIM_PAUSE_MS, stopping.signal);
    } catch (rawError) {
      logger.warn("Failed to claim deliveries; the next sweep will", { error: coerceError(rawError) });
    }
    if (stopping.signal.aborted) wantsClaim = false;
  }

  function begin(claimed: ClaimedDelivery): void {
    if (stopping.signal.aborted) return recorder.handBack({ ...claimed, waitMs: 0 });
    const startedAt = clock.monotonic();
    underWay += 1;
    windows.began(claimed.endpointId);
    void attemptDelivery({ ...parts, egress, timeoutMs: parts.callbacks().timeoutMs }, claimed).then((outcome) => {
      if (underWay >= concurrency || windows.ended(claimed.endpointId, outcome)) wantsClaim = true;
      underWay -= 1;
      end(claimed, outcome, startedAt);
      noticeChange();
    });
  }
