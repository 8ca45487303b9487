/** Events: facts told to merchants. */
import type { DepositStatus } from "./deposit.ts";

export const DEPOSIT_EVENT_TYPES = [
  "deposit.pending",
  "deposit.credited",
  "deposit.unlocked",
  "deposit.held",
  "deposit.rejected",
  "deposit.ignored",
  "deposit.orphaned",
  "deposit.reversed",
] as const satisfies readonly `deposit.${DepositStatus}`[];

/** Every type an endpoint may name. */
export const EVENT_TYPES = [...DEPOSIT_EVENT_TYPES, "endpoint.test", "endpoint.disabled"] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/**
 * What an endpoint gets that names no types. `deposit.ignored` is left out: anyone can make thousands of them
 * for the price of dust, so they go only to those who ask.
 */
export const DEFAULT_EVENT_TYPES: readonly EventType[] = EVENT_TYPES.filter(
  (type) => type !== "deposit.ignored",
);

export function depositEventType(status: DepositStatus): EventType {
  return `deposit.${status}`;
}

/** The body of every callback (Standard Webhooks 1.0, "payload"). */
export interface EventBody<Data> {
  type: EventType;
  /** RFC 3339, UTC: when it happened, not when it was sent. */
  timestamp: string;
  data: Data;
}
