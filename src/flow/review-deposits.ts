/**
 * [tx] The ways out of `held`: an operator releases a deposit, which is then credited as settling would have
 * credited it, or rejects it, which never enters the ledger.
 *
 *   the chain's row held (no ingest or undo moves it) → the deposit locked → what was asked for before → status →
 *   ledger entry → the order that a credit names → events and deliveries → the audit log, last
 *
 * With four eyes, one operator's act is a proposal. It is carried out when a second one, another person, asks for
 * the same. Of those who ask for the opposite each waits for somebody who agrees, or for the other to think again:
 * whoever asks for another act takes the own earlier one back. All of it belongs to one inclusion of the deposit and
 * is forgotten when its block leaves the chain.
 */
import { type AuditAction, appendAudit } from "../audit/audit-store.ts";
import type { Actor } from "../core/actor.ts";
import type { Deposit, DepositStatus } from "../core/deposit.ts";
import { InputError } from "../core/errors.ts";
import type { Database, Sql } from "../db/database.ts";
import { moveDeposits } from "../deposits/deposit-store.ts";
import { findDepositChain, lockDeposit } from "../deposits/held-deposit-store.ts";
import { bookEntries } from "../ledger/ledger-store.ts";
import { planCredits } from "../ledger/plan-store.ts";
import { depositEvent } from "../outbox/deposit-event.ts";
import { appendEvents } from "../outbox/event-store.ts";
import {
  type AskedAct,
  listReviewActs,
  markCarriedOut,
  putReviewAct,
  type ReviewAct,
} from "../review/review-act-store.ts";
import { holdCursor, type SettledAt } from "../scanner/cursor-store.ts";
import { ledgerItem } from "./ledger-item.ts";
import { reviseOrders } from "./revise-orders.ts";

interface Way {
  readonly to: DepositStatus;
  readonly outcome: "released" | "rejected";
  readonly proposed: AuditAction;
  readonly done: AuditAction;
}

const WAYS: Readonly<Record<ReviewAct, Way>> = {
  release: {
    to: "credited",
    outcome: "released",
    proposed: "deposit.propose_release",
    done: "deposit.release",
  },
  reject: {
    to: "rejected",
    outcome: "rejected",
    proposed: "deposit.propose_reject",
    done: "deposit.reject",
  },
};
/** Where a deposit may be whose hold was decided. */
const DECIDED: readonly DepositStatus[] = ["credited", "unlocked", "rejected"];

export interface ReviewRequest {
  readonly depositId: string;
  readonly act: ReviewAct;
  readonly actor: Actor;
  /** Why; 1 to 500 characters. */
  readonly note: string;
  /** The deposit's `sequence` that the operator saw; left out: whatever it is now. */
  readonly sequence?: number | undefined;
}

export interface Reviewed {
  readonly outcome: "proposed" | "released" | "rejected";
  /** False when it had been carried out before, and nothing was changed. */
  readonly isNew: boolean;
  readonly deposit: Deposit;
  readonly cursorNumber: bigint;
  /** All that was asked for, this act included. */
  readonly acts: readonly AskedAct[];
  readonly deliveryCount: number;
}

/**
 * Releases or rejects, once: asked again, it answers with what stands.
 *
 * @param fourEyes whether two operators must ask for it
 * @throws {InputError} `not_found`, `chain_halted`, `deposit_not_held`, `deposit_changed`, `review_decided`,
 * `operator_required`, `second_operator_required`; nothing was changed
 */
export async function reviewDeposit(
  database: Database,
  request: ReviewRequest,
  { fourEyes }: { readonly fourEyes: boolean },
): Promise<Reviewed> {
  return database.transaction(async (tx) => {
    const { deposit, at } = await lockForReview(tx, request.depositId);
    const acts = await actsOf(tx, deposit);
    const decided = acts.find((each) => each.carriedOutAt !== null);
    if (decided !== undefined && DECIDED.includes(deposit.status)) {
      return standing(request, { deposit, acts, decided, cursorNumber: at.cursorNumber });
    }
    assertHeldAsSeen(deposit, request.sequence);
    const others = fourEyes ? confirmedBy(request, acts) : [];
    await putReviewAct(tx, deposit, request);
    const isProposal = fourEyes && others.length === 0;
    const done = isProposal ? { deposit, deliveryCount: 0 } : await carryOut(tx, deposit, request.act, at);
    await writeAudit(tx, request, deposit, { fourEyes, isProposal, others });
    return {
      outcome: isProposal ? "proposed" : WAYS[request.act].outcome,
      isNew: true,
      cursorNumber: at.cursorNumber,
      acts: await actsOf(tx, deposit),
      ...done,
    };
  });
}

/** @throws {InputError} `not_found`, `chain_halted` */
async function lockForReview(tx: Sql, depositId: string): Promise<{ deposit: Deposit; at: SettledAt }> {
  const chainId = await findDepositChain(tx, depositId);
  if (chainId === undefined) throw new InputError("not_found", "There is no such deposit", { depositId });
  const at = await holdCursor(tx, chainId);
  if (at === null) {
    throw new InputError(
      "chain_halted",
      `Chain ${chainId} is halted: nothing is decided on it until it goes on`,
      {
        chainId,
      },
    );
  }
  const deposit = await lockDeposit(tx, depositId);
  if (deposit === undefined) throw new InputError("not_found", "There is no such deposit", { depositId });
  return { deposit, at };
}

async function actsOf(tx: Sql, deposit: Deposit): Promise<readonly AskedAct[]> {
  return (await listReviewActs(tx, [deposit])).get(deposit.id) ?? [];
}

interface Standing {
  readonly deposit: Deposit;
  readonly acts: readonly AskedAct[];
  readonly decided: AskedAct;
  readonly cursorNumber: bigint;
}

/** @throws {InputError} `review_decided`, `deposit_changed` */
function standing({ act, sequence }: ReviewRequest, { decided, ...found }: Standing): Reviewed {
  const { outcome } = WAYS[decided.act];
  if (decided.act !== act) {
    throw new InputError("review_decided", `The deposit was ${outcome} before, and that stands`, {
      depositId: found.deposit.id,
    });
  }
  if (sequence !== undefined && sequence !== decided.sequence) throw changed(found.deposit, sequence);
  return { ...found, outcome, isNew: false, deliveryCount: 0 };
}

/** @throws {InputError} `deposit_not_held`, `deposit_changed` */
function assertHeldAsSeen(deposit: Deposit, sequence: number | undefined): void {
  if (deposit.status !== "held") {
    throw new InputError("deposit_not_held", `The deposit is not held: it is ${deposit.status}`, {
      depositId: deposit.id,
      sequence: deposit.sequence,
    });
  }
  if (sequence !== undefined && sequence !== deposit.sequence) throw changed(deposit, sequence);
}

function changed(deposit: Deposit, seen: number): InputError {
  return new InputError(
    "deposit_changed",
    `The deposit has changed since it had the sequence ${seen}: look at it again`,
    { depositId: deposit.id, sequence: deposit.sequence, status: deposit.status },
  );
}

/**
 * The other operators who ask for the same.
 *
 * @throws {InputError} `operator_required`, `second_operator_required`
 */
function confirmedBy({ actor, act }: ReviewRequest, acts: readonly AskedAct[]): AskedAct[] {
  if (!actor.isNamed) {
    throw new InputError(
      "operator_required",
      "Two operators must ask for this, and nobody knows which one this is: use the key of an operator with a name " +
        "(depositd key create <merchant> --operator --name <operator>), at a shell as DEPOSITD_OPERATOR_KEY",
      { actor: actor.id },
    );
  }
  const same = acts.filter((each) => each.act === act && each.isStanding);
  const others = same.filter((each) => each.actor !== actor.id && each.actor.startsWith("operator:"));
  if (others.length === 0 && same.some((each) => each.actor === actor.id)) {
    throw new InputError(
      "second_operator_required",
      `${actor.id} has asked for this before; another operator must confirm it`,
      { actor: actor.id },
    );
  }
  return others;
}

async function carryOut(
  tx: Sql,
  held: Deposit,
  act: ReviewAct,
  { cursorNumber, at }: SettledAt,
): Promise<{ deposit: Deposit; deliveryCount: number }> {
  const moved = await moveDeposits(tx, [{ deposit: held, to: WAYS[act].to }], at);
  if (act === "release") await bookEntries(tx, await planCredits(tx, moved.map(ledgerItem)));
  const told = moved.map((deposit) => depositEvent(deposit, cursorNumber, at));
  const revised = act === "release" ? await reviseOrders(tx, moved, at) : [];
  const deliveryCount = await appendEvents(tx, [...told, ...revised]);
  await markCarriedOut(tx, held, act);
  return { deposit: moved[0] ?? held, deliveryCount };
}

interface Judged {
  readonly fourEyes: boolean;
  readonly isProposal: boolean;
  readonly others: readonly AskedAct[];
}

async function writeAudit(
  tx: Sql,
  { actor, act, note }: ReviewRequest,
  { id, sequence, chainId, amountBaseUnits }: Deposit,
  { fourEyes, isProposal, others }: Judged,
): Promise<void> {
  await appendAudit(tx, {
    actor,
    action: isProposal ? WAYS[act].proposed : WAYS[act].done,
    subject: id,
    detail: {
      note,
      sequence,
      chainId,
      amountBaseUnits: amountBaseUnits.toString(),
      fourEyes,
      ...(others.length === 0 ? {} : { proposedBy: others.map((each) => each.actor) }),
    },
  });
}
