/** Deliveries claimed and ended by hand, on a real database. */
import { type AttemptOutcome, NO_PHASES } from "../delivery/attempt-outcome.ts";
import { type ClaimedDelivery, type ClaimRequest, claimDeliveries } from "../delivery/claim-store.ts";
import { type RecordedAttempt, type RecordResult, recordOutcomes } from "../delivery/outcome-store.ts";
import { insertEndpoint } from "./callbacks.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";

export interface ClaimRig {
  readonly database: TestDatabase["database"];
  insertEndpoints(...ids: string[]): Promise<void>;
  claim(request?: Partial<ClaimRequest>): Promise<ClaimedDelivery[]>;
  record(attempts: readonly RecordedAttempt[], disableAfterMs?: number): Promise<RecordResult>;
  /** As if the time between now and the lease's end had passed. */
  expireClaims(): Promise<void>;
  /** Before each test: no endpoints, events and deliveries. */
  empty(): Promise<void>;
  /** After all of them. */
  drop(): Promise<void>;
}

export async function createClaimRig(): Promise<ClaimRig> {
  const test = await createTestDatabase();
  const { database } = test;
  return {
    database,
    insertEndpoints: async (...ids) => {
      for (const id of ids) await insertEndpoint(database, `https://${id}.example/`, id);
    },
    claim: async (request = {}) => {
      const given = {
        limit: 100,
        perEndpoint: 100,
        freeByEndpoint: new Map(),
        leaseMs: 60_000,
        after: "",
        ...request,
      };
      return [...(await claimDeliveries(database, given)).deliveries];
    },
    record: (attempts, disableAfterMs = 5 * 86_400_000) =>
      recordOutcomes(database, attempts, { disableAfterMs, fraction: 0.5 }),
    expireClaims: async () => {
      await database.query(
        "UPDATE due_deliveries SET claimed_until = now() - interval '1 second' WHERE claimed_until IS NOT NULL",
      );
    },
    empty: async () => {
      await database.query(
        "TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints",
      );
    },
    drop: () => test.drop(),
  };
}

export const OK: AttemptOutcome = {
  httpStatus: 204,
  error: null,
  errorCode: null,
  durationMs: 5,
  phases: NO_PHASES,
  responseBody: "",
  retryAfterMs: null,
};
export const BROKEN: AttemptOutcome = { ...OK, httpStatus: 500, error: "status", responseBody: "no" };
export const GONE: AttemptOutcome = { ...BROKEN, httpStatus: 410 };

export function delivered(claimed: ClaimedDelivery): RecordedAttempt {
  return {
    claim: claimed,
    outcome: OK,
    decision: { next: "delivered" },
    disablesEndpoint: false,
    pauseMs: null,
    startedMsAgo: 5,
  };
}

export function retried(claimed: ClaimedDelivery, waitMs: number): RecordedAttempt {
  return { ...delivered(claimed), outcome: BROKEN, decision: { next: "retry", waitMs } };
}

/** @throws {Error} for none, and for several */
export function only<Item>(items: readonly Item[]): Item {
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new Error(`expected one item, got ${items.length}`);
  return item;
}

/** How many of each endpoint. */
export function perEndpoint(claims: readonly ClaimedDelivery[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { endpointId } of claims) counts[endpointId] = (counts[endpointId] ?? 0) + 1;
  return counts;
}
