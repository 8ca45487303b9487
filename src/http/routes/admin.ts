/** The operators' part of the API: holds of every merchant, and the audit log. */
import { z } from "zod";
import { listAudit } from "../../audit/audit-store.ts";
import { operatorActor } from "../../core/actor.ts";
import { type Hold, listHolds } from "../../deposits/held-deposit-store.ts";
import { type Reviewed, reviewDeposit } from "../../flow/review-deposits.ts";
import { listReviewActs, type ReviewAct } from "../../review/review-act-store.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import { pageOf } from "../answers.ts";
import { id, NOTE, NOTE_RULE, pageQuery } from "../inputs.ts";
import { decodeCursor, toPage } from "../page-cursor.ts";
import type { HttpParts } from "../parts.ts";
import {
  auditPageShape,
  auditRowBody,
  holdBody,
  holdShape,
  reviewedBody,
  reviewedShape,
} from "../review-answers.ts";
import { type Route, route } from "../route.ts";

const listHeld = route({
  method: "GET",
  path: "/v1/admin/holds",
  operatorOnly: true,
  summary: "Held deposits of every merchant, those that wait longest first.",
  query: z.strictObject(pageQuery),
  answers: { 200: { description: "A page of holds.", shape: pageOf(holdShape, "HoldPage") } },
  handle: async ({ query: { cursor, limit }, database }) => {
    const end = cursor === undefined ? undefined : decodeCursor(cursor);
    const after = end === undefined ? undefined : { detectedAt: end.at, id: end.id };
    const found = await listHolds(database, { limit: limit + 1, after });
    const page = toPage(found, limit, ({ deposit }: Hold) => ({ at: deposit.detectedAt, id: deposit.id }));
    const acts = await listReviewActs(
      database,
      page.items.map(({ deposit }) => deposit),
    );
    const items = page.items.map((hold) => holdBody(hold, acts.get(hold.deposit.id) ?? []));
    return { status: 200, body: { items, nextCursor: page.nextCursor } };
  },
});

const listLog = route({
  method: "GET",
  path: "/v1/admin/audit",
  operatorOnly: true,
  summary: "The audit log, oldest first: read on from `nextAfter` whenever you like.",
  query: z.strictObject({
    after: z
      .string()
      .regex(/^\d{1,15}$/, { error: "must be the sequence of a row" })
      .transform(Number)
      .default(0)
      .meta({
        description: "Rows after this sequence.",
        type: "integer",
        minimum: 0,
        default: 0,
        pattern: undefined,
      }),
    limit: pageQuery.limit,
  }),
  answers: { 200: { description: "Rows after it.", shape: auditPageShape } },
  handle: async ({ query: { after, limit }, database }) => {
    const found = await listAudit(database, BigInt(after), limit + 1);
    const items = found.slice(0, limit).map(auditRowBody);
    const nextAfter = items.at(-1)?.sequence ?? after;
    return { status: 200, body: { items, nextAfter, hasMore: found.length > limit } };
  },
});

export function adminRoutes(
  parts: Pick<HttpParts, "fourEyes" | "metrics" | "wakeDeliverer">,
): readonly Route[] {
  const review = (act: ReviewAct, summary: string) =>
    route({
      method: "POST",
      path: `/v1/admin/holds/{depositId}/${act}`,
      operatorOnly: true,
      summary,
      params: z.strictObject({ depositId: id }),
      body: z.strictObject({
        note: z
          .string()
          .regex(NOTE, { error: NOTE_RULE })
          .meta({ description: "Why, for the audit log.", minLength: 1, maxLength: 500, pattern: undefined }),
        sequence: z
          .int()
          .positive()
          .optional()
          .describe("The deposit's `sequence` that you saw: refused if it has another by now."),
      }),
      answers: {
        200: { description: "It is carried out, now or before.", shape: reviewedShape },
        202: { description: "It waits for a second operator.", shape: reviewedShape },
      },
      handle: async ({ caller, params: { depositId }, body, database }) => {
        const actor = operatorActor(caller.keyId, caller.operatorName);
        const fourEyes = parts.fourEyes();
        const reviewed = await reviewDeposit(database, { depositId, act, actor, ...body }, { fourEyes });
        const status = reviewed.outcome === "proposed" ? 202 : 200;
        const afterwards = async () => {
          countMove(parts.metrics, reviewed);
          await parts.wakeDeliverer();
        };
        return { status, body: reviewedBody(reviewed), afterwards };
      },
    });
  return [
    listHeld,
    review("release", "Credit a held deposit after all, or propose it where two operators must."),
    review("reject", "Refuse a held deposit for good, or propose it where two operators must."),
    listLog,
  ];
}

function countMove(metrics: Metrics, { outcome, isNew, deposit }: Reviewed): void {
  if (!isNew || outcome === "proposed") return;
  metrics.depositMoves.inc({ chain_id: deposit.chainId, status: deposit.status });
}
