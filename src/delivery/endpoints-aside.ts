/**
 * Endpoints that are set aside in this process, as nothing can get to them for a reason that is not theirs:
 *
 *   proxy    the egress proxy is there and refuses them: for 10 s
 *   secret   their secret cannot be opened with the keys at hand: for a minute
 *
 * When that is over one delivery is attempted: it sets them aside again, or lets the others go out. Meanwhile what is
 * due to them is not claimed, and everybody else is delivered as ever: what a proxy refuses may be one merchant's
 * address only, and of two secret keys each opens some.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { type AttemptOutcome, SECRET_KEY_WRONG } from "./attempt-outcome.ts";
import { isRefusal } from "./egress-proxy.ts";

export const ASIDE_REASONS = ["proxy", "secret"] as const;
export type AsideReason = (typeof ASIDE_REASONS)[number];

export interface EndpointsAside {
  /** An attempt ended. @returns why its endpoint is to be set aside now; `null`: it is not */
  note(endpointId: string, outcome: AttemptOutcome): AsideReason | null;
  /** Those to be admitted again. */
  takeDue(): string[];
  /** All of those that the proxy refused, as it was away since: to be admitted again. */
  takeRefused(): string[];
  count(reason: AsideReason): number;
}

const ASIDE_MS: Readonly<Record<AsideReason, number>> = { proxy: 10_000, secret: 60_000 };
/** Of one that was admitted and for which nothing was due since, disabled or deleted perhaps. */
const FORGET_MS = 120_000;

interface Aside {
  readonly reason: AsideReason;
  /** By the monotonic clock. */
  readonly until: number;
  isAdmitted: boolean;
}

/** @param parts.proxy as it may be named in a log */
export function createEndpointsAside(parts: {
  readonly proxy: string | null;
  readonly clock: Clock;
  readonly logger: Logger;
}): EndpointsAside {
  const { proxy, clock, logger } = parts;
  const asides = new Map<string, Aside>();
  const counts: Record<AsideReason, number> = { proxy: 0, secret: 0 };

  function forget(endpointId: string, { reason }: Aside): void {
    asides.delete(endpointId);
    counts[reason] -= 1;
    if (reason === "proxy" && counts.proxy === 0)
      logger.info("Was refused no more by the egress proxy", { proxy });
  }

  function setAside(endpointId: string, reason: AsideReason, errorCode: string | null): void {
    const before = asides.get(endpointId);
    if (before?.reason !== reason) {
      if (before !== undefined) forget(endpointId, before);
      counts[reason] += 1;
      // Of all that it refuses at a time, one line.
      if (reason === "proxy" && counts.proxy === 1) {
        const fields = { proxy, error_code: errorCode, endpoint_id: endpointId };
        logger.warn("Was refused by the egress proxy; such callbacks wait", fields);
      }
    }
    asides.set(endpointId, { reason, until: clock.monotonic() + ASIDE_MS[reason], isAdmitted: false });
  }

  function take(isWanted: (aside: Aside) => boolean): string[] {
    const wanted = [...asides].filter(([, aside]) => !aside.isAdmitted && isWanted(aside));
    for (const [, aside] of wanted) aside.isAdmitted = true;
    return wanted.map(([id]) => id);
  }

  return {
    note: (endpointId, outcome) => {
      const reason = reasonOf(outcome);
      const aside = asides.get(endpointId);
      // Of those that began before it was set aside, the first one has said it.
      if (aside?.isAdmitted === false) return null;
      if (reason !== null) setAside(endpointId, reason, outcome.errorCode);
      else if (aside !== undefined && isTold(outcome)) forget(endpointId, aside);
      return reason;
    },
    takeDue: () => {
      if (asides.size === 0) return [];
      const now = clock.monotonic();
      for (const [id, aside] of asides)
        if (aside.isAdmitted && now >= aside.until + FORGET_MS) forget(id, aside);
      return take(({ until }) => now >= until);
    },
    takeRefused: () => take(({ reason }) => reason === "proxy"),
    count: (reason) => counts[reason],
  };
}

function reasonOf({ error, errorCode }: AttemptOutcome): AsideReason | null {
  if (error === "proxy") return isRefusal(errorCode) ? "proxy" : null;
  return errorCode === SECRET_KEY_WRONG ? "secret" : null;
}

/** It got past what held it up, or past the proxy that may have. */
function isTold({ error }: AttemptOutcome): boolean {
  return error !== "local" && error !== "proxy";
}
