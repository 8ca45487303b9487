/** What the operators' part of the API answers of holds and of the audit log, as shapes and as bodies. */
import { z } from "zod";
import type { AuditRow } from "../audit/audit-store.ts";
import { depositBody } from "../core/deposit-body.ts";
import type { Hold } from "../deposits/held-deposit-store.ts";
import type { Reviewed } from "../flow/review-deposits.ts";
import { type AskedAct, REVIEW_ACTS } from "../review/review-act-store.ts";
import { depositShape, time } from "./answers.ts";

const proposalShape = z
  .strictObject({
    actor: z.string().describe("Who asks, such as `operator:ann`."),
    act: z.enum(REVIEW_ACTS),
    note: z.string(),
    at: time,
    isStanding: z.boolean().describe("false: the operator has no key any more; it waits for nobody."),
  })
  .meta({ id: "ReviewProposal" });

export const holdShape = z
  .strictObject({
    deposit: depositShape,
    merchantName: z.string(),
    heldAt: time.describe("Since when it waits."),
    findings: z.array(z.string()).describe("What held it, a sentence each, the gravest first."),
    proposals: z
      .array(proposalShape)
      .describe("What operators asked for that waits for a second one (review.fourEyes)."),
  })
  .meta({ id: "Hold" });
export type HoldBody = z.infer<typeof holdShape>;

export const reviewedShape = z
  .strictObject({
    outcome: z
      .enum(["proposed", "released", "rejected"])
      .describe("proposed: it is carried out once another operator asks for the same."),
    isNew: z.boolean().describe("false: it had been carried out before; nothing was changed."),
    deposit: depositShape,
    proposals: z.array(proposalShape),
  })
  .meta({ id: "Reviewed" });
export type ReviewedBody = z.infer<typeof reviewedShape>;

const auditRowShape = z
  .strictObject({
    sequence: z.int(),
    at: time,
    actor: z
      .string()
      .describe("`operator:ann`, `key:key_…` (a key without a name), `cli:root`, `daemon:host`."),
    action: z.string(),
    subject: z.string().describe("What it was done to."),
    detail: z.record(z.string(), z.unknown()),
    detailText: z.string().describe("The same as the exact text that is hashed."),
    previousHash: z.string(),
    hash: z.string().describe("docs/review.md says of what."),
  })
  .meta({ id: "AuditRow" });
export type AuditRowBody = z.infer<typeof auditRowShape>;

export const auditPageShape = z
  .strictObject({
    items: z.array(auditRowShape),
    nextAfter: z.int().describe("The `after` to go on with, now or later."),
    hasMore: z.boolean().describe("There is more to be read at once."),
  })
  .meta({ id: "AuditPage" });

export function holdBody(hold: Hold, acts: readonly AskedAct[]): HoldBody {
  return {
    deposit: depositBody(hold.deposit, hold.cursorNumber),
    merchantName: hold.merchantName,
    heldAt: hold.heldAt.toISOString(),
    findings: [...hold.findings],
    proposals: proposals(acts),
  };
}

export function reviewedBody({ outcome, isNew, deposit, cursorNumber, acts }: Reviewed): ReviewedBody {
  return { outcome, isNew, deposit: depositBody(deposit, cursorNumber), proposals: proposals(acts) };
}

export function auditRowBody(row: AuditRow): AuditRowBody {
  const { detail: detailText, ...rest } = row;
  return {
    ...rest,
    sequence: Number(row.sequence),
    at: row.at.toISOString(),
    detail: JSON.parse(detailText) as Record<string, unknown>,
    detailText,
  };
}

function proposals(acts: readonly AskedAct[]) {
  return acts
    .filter(({ carriedOutAt }) => carriedOutAt === null)
    .map(({ actor, act, note, askedAt, isStanding }) => ({
      actor,
      act,
      note,
      at: askedAt.toISOString(),
      isStanding,
    }));
}
