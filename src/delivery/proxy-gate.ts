/**
 * Whether callbacks may go out while there is an egress proxy, which all of them share:
 *
 *   open     they go out
 *   away     the proxy could not be reached: nothing is claimed or begun, and what is held is handed back
 *   probing  after 0.25, 0.5, 1, 2, 4, 8, 10, 10, … s ± 20 %: one delivery is claimed and attempted. Once the proxy
 *            answered it, however it went, the gate is open again; else it is away for longer
 *
 * A probe that needed no new connection, or never came as far as the proxy, tells nothing: another may follow at once.
 * A proxy that is there and refuses is another matter, which concerns one endpoint: see endpoints-aside.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import { isRefusal } from "./egress-proxy.ts";

export interface ProxyGate {
  readonly isOpen: boolean;
  /** It is away, the wait is over, and no probe is under way. */
  readonly mayProbe: boolean;
  /** The wait is over. */
  letProbe(): void;
  /** An attempt begins. @returns whether it is a probe */
  begin(): boolean;
  /**
   * It ended.
   *
   * @returns `closed`: the proxy is away, `waitMs` until the next probe; `undefined`: nothing changed
   */
  end(outcome: AttemptOutcome, wasProbe: boolean): GateMove | undefined;
  /** `null` while it is not away, or nothing waited for it of late: then nobody knows. */
  readonly away: ProxyAway | null;
}

export type GateMove = { readonly to: "open" } | { readonly to: "closed"; readonly waitMs: number };

export interface ProxyAway {
  /** Host and port, never credentials. */
  readonly proxy: string;
  /** E.g. `ECONNREFUSED` or `PROXY_SILENT`. */
  readonly errorCode: string | null;
  /** Milliseconds since 1970. */
  readonly since: number;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;
const JITTER = 0.2;
/** Longer than the longest wait with an attempt after it. */
const NOT_KNOWN_AFTER_MS = 120_000;

/** @param parts.proxy as it may be named in a log; `null` where there is none, so that the gate stays open */
export function createProxyGate(parts: {
  readonly proxy: string | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}): ProxyGate {
  const { proxy, clock, random, logger } = parts;
  let away: ProxyAway | null = null;
  let waitMs = 0;
  let failedAt = 0;
  let mayProbe = false;

  function close(errorCode: string | null, isFirst: boolean): GateMove {
    if (isFirst) {
      away = { proxy: proxy ?? "", errorCode, since: clock.now() };
      logger.warn("Lost the egress proxy; callbacks wait for it", { proxy, error_code: errorCode });
    }
    failedAt = clock.monotonic();
    waitMs = isFirst ? FIRST_WAIT_MS : Math.min(LONGEST_WAIT_MS, 2 * waitMs);
    const jitteredMs = Math.round(waitMs * (1 - JITTER + 2 * JITTER * random.fraction()));
    mayProbe = false;
    return { to: "closed", waitMs: jitteredMs };
  }

  function open({ since }: ProxyAway): GateMove {
    away = null;
    mayProbe = false;
    logger.info("Reached the egress proxy again; callbacks go on", { proxy, away_ms: clock.now() - since });
    return { to: "open" };
  }

  return {
    get isOpen() {
      return away === null;
    },
    get away() {
      return clock.monotonic() - failedAt > NOT_KNOWN_AFTER_MS ? null : away;
    },
    get mayProbe() {
      return mayProbe;
    },
    letProbe: () => {
      mayProbe = away !== null;
    },
    begin: () => {
      if (away === null) return false;
      mayProbe = false;
      return true;
    },
    end: (outcome, wasProbe) => {
      if (wasProbe) mayProbe = true;
      const isAway = outcome.error === "proxy" && !isRefusal(outcome.errorCode);
      // Of those that began before it went, the first one has said it.
      if (isAway) return away === null || wasProbe ? close(outcome.errorCode, away === null) : undefined;
      const wasReached = outcome.error !== "local" && outcome.phases.connectMs !== null;
      return away !== null && wasProbe && wasReached ? open(away) : undefined;
    },
  };
}
