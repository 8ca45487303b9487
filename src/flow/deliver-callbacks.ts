/**
 * [tx per batch of outcomes] Carries events to endpoints: claim due deliveries → one HTTP attempt each, outside
 * any transaction → outcomes, many in one statement, each fenced by its attempt's number.
 *
 * Work is found by query. A nudge (a commit with deliveries, a job whose time has come) makes it found at once,
 * the sweep makes it found in the end. A process that dies loses nothing: its claims run out, and whoever sweeps
 * next attempts them again, under the same id and with the same body.
 */
import { coerceError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import type { ClientCertificate } from "../delivery/client-certificate.ts";
import {
  failDeliveriesOfDeletedEndpoints,
  keepFirstDelay,
  vacuumDueDeliveries,
} from "../delivery/delivery-store.ts";
import { createEgress, type Egress, type EgressOptions } from "../delivery/egress.ts";
import { readProxyUrl } from "../delivery/egress-proxy.ts";
import type { SealedCounts } from "../delivery/endpoint-secret-store.ts";
import { createEndpointsAside } from "../delivery/endpoints-aside.ts";
import { createProxyGate, type ProxyAway } from "../delivery/proxy-gate.ts";
import type { Decision } from "../delivery/retry-schedule.ts";
import type { Clock } from "../runtime/clock.ts";
import type { CallbacksConfig } from "../runtime/config/config.ts";
import { hideUrl } from "../runtime/config/hide-url.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { createDeliveryPump } from "./delivery-pump.ts";
import { createSecretsWatch } from "./watch-secrets.ts";

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
  /** When the next retry is due, by this machine's clock. Told whenever there is nothing more to do before it. */
  readonly onRetryAt?: (time: Date) => void;
  readonly onAttempt?: (attempt: AttemptReport) => void;
  /** Of `callbacks.clientCertificate`. */
  readonly clientCertificate?: ClientCertificate | undefined;
  /** Instead of one made by the config. It is destroyed at the stop. */
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
  /** Looks whether the secrets of endpoints can be opened, until the signal aborts. @throws what the database throws */
  watchSecrets(signal: AbortSignal): Promise<void>;
  health(): DelivererHealth;
}

/** What holds callbacks up that is not their endpoints'. */
export interface DelivererHealth {
  /** Host and port of the egress proxy; `null`: there is none. */
  readonly proxy: string | null;
  /** `null` while it is not away. */
  readonly proxyAway: ProxyAway | null;
  /** Endpoints that the proxy refuses though it is there. */
  readonly refusedCount: number;
  /** How many endpoints' secrets can be opened; `null` before the first look. */
  readonly secrets: SealedCounts | null;
}

const DELETED_BATCH = 10_000;

export function createDeliverer(parts: DelivererParts): Deliverer {
  const egress = parts.egress ?? createEgress(egressOptions(parts));
  const { proxyUrl } = parts.callbacks();
  const proxy = proxyUrl === null ? null : hideUrl(proxyUrl);
  const gate = createProxyGate({ ...parts, proxy });
  const aside = createEndpointsAside({ ...parts, proxy });
  const secrets = createSecretsWatch({ ...parts, sql: parts.database });
  const pump = createDeliveryPump({ ...parts, egress, gate, aside, onUnopened: secrets.lookSoon });

  async function sweep(): Promise<void> {
    pump.nudge();
    try {
      await keepFirstDelay(parts.database, parts.callbacks().scheduleMs[0] ?? 0);
      const failed = await failDeliveriesOfDeletedEndpoints(parts.database, DELETED_BATCH);
      if (failed > 0) parts.logger.info("Failed deliveries of deleted endpoints", { delivery_count: failed });
      await vacuumDueDeliveries(parts.database);
    } catch (rawError) {
      parts.logger.warn("Failed to sweep deliveries; trying again", { error: coerceError(rawError) });
    }
  }

  return {
    nudge: pump.nudge,
    drain: async () => {
      pump.nudge();
      await pump.atRest();
    },
    run: async (signal) => {
      while (!signal.aborted) {
        await sweep();
        await parts.clock.sleep(parts.sweepIntervalMs, signal);
      }
      await pump.stop(parts.shutdownGraceMs);
    },
    watchSecrets: secrets.run,
    health: () => ({
      proxy,
      proxyAway: gate.away,
      refusedCount: aside.count("proxy"),
      secrets: secrets.counts,
    }),
  };
}

function egressOptions({ callbacks, clientCertificate, clock }: DelivererParts): EgressOptions {
  const { allowPrivateTargets, proxyUrl, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs } = callbacks();
  return {
    allowPrivateTargets,
    clock,
    clientCertificate,
    limits: {
      connectTimeoutMs,
      headersTimeoutMs: headersTimeoutMs ?? Number.POSITIVE_INFINITY,
      bodyTimeoutMs,
    },
    proxy: proxyUrl === null ? undefined : readProxyUrl(proxyUrl),
  };
}
