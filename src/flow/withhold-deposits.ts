/**
 * [tx: within that of settling] Holds back due deposits that a rule of the review speaks against.
 *
 * What the screening service rejected is held and rejected in one go: two moves of the table in `core/deposit.ts`, with
 * an event for each, so that a merchant never meets a `rejected` that was not `held`.
 */
import type { Deposit, HoldReason } from "../core/deposit.ts";
import type { Sql } from "../db/database.ts";
import { moveDeposits } from "../deposits/deposit-store.ts";
import { type Finding, findHolds, type HoldRules } from "../review/hold-rules.ts";
import { insertHolds } from "../review/hold-store.ts";
import { readScreenings, type Screening } from "../review/screening-store.ts";

const SCREENED_OUT: HoldReason = "screening";

export interface Withheld {
  /** Nothing speaks against these. */
  readonly passed: readonly Deposit[];
  /** Each move in turn, as the deposit was after it: `held`, and of some `rejected` after that. */
  readonly moved: readonly Deposit[];
}

interface Judged {
  readonly deposit: Deposit;
  readonly findings: readonly Finding[];
  readonly isRejected: boolean;
}

/**
 * @param due locked, and screened where the rules ask for it
 * @param at the transaction's time
 */
export async function withholdDeposits(
  tx: Sql,
  due: readonly Deposit[],
  rules: HoldRules,
  at: Date,
): Promise<Withheld> {
  const screenings = await screeningsOf(tx, due, rules);
  const judged = due.map((deposit) => judge(deposit, rules, screenings.get(deposit.id)));
  const against = judged.filter(({ findings }) => findings.length > 0);
  if (against.length === 0) return { passed: due, moved: [] };

  const held = await moveDeposits(tx, against.flatMap(holdMove), at);
  await insertHolds(
    tx,
    held.flatMap((deposit, index) => ({ deposit, findings: against[index]?.findings ?? [] })),
  );
  const refused = held.filter((_, index) => against[index]?.isRejected === true);
  const rejected = await moveDeposits(
    tx,
    refused.map((deposit) => ({ deposit, to: "rejected", reason: SCREENED_OUT })),
    at,
  );
  const passed = judged.filter(({ findings }) => findings.length === 0).map(({ deposit }) => deposit);
  return { passed, moved: [...held, ...rejected] };
}

async function screeningsOf(
  tx: Sql,
  due: readonly Deposit[],
  { onNoAnswer }: HoldRules,
): Promise<ReadonlyMap<string, Screening>> {
  if (onNoAnswer === null) return new Map();
  return readScreenings(
    tx,
    due.map(({ id: depositId, generation }) => ({ depositId, generation })),
  );
}

function judge(deposit: Deposit, rules: HoldRules, screening: Screening | undefined): Judged {
  const findings = findHolds(deposit, rules, screening);
  return { deposit, findings, isRejected: rules.onNoAnswer !== null && screening?.state === "reject" };
}

function holdMove({ deposit, findings }: Judged) {
  const [first] = findings;
  return first === undefined ? [] : [{ deposit, to: "held" as const, reason: first.reason }];
}
