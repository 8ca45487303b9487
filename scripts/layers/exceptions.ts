/** The places that honestly have to break a rule, each with its reason. One that is needed no more is an error. */
import type { Rule } from "./violation.ts";

export interface Exception {
  readonly file: string;
  readonly rule: Rule;
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    file: "src/runtime/queue/postgres-backend.ts",
    rule: "package",
    reason: "BullMQ on PostgreSQL is given a pool; the queue's tables are BullMQ's, not ours",
  },
  {
    file: "src/runtime/queue/postgres-backend.ts",
    rule: "sql",
    reason: "the same pool, handed to BullMQ, and the ping",
  },
];
