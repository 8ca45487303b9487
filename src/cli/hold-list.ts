/** Holds as the command line shows them. */
import type { Database } from "../db/database.ts";
import { type Hold, listHolds } from "../deposits/held-deposit-store.ts";
import { type HoldBody, holdBody } from "../http/review-answers.ts";
import { listReviewActs } from "../review/review-act-store.ts";
import { alignColumns } from "./table.ts";

const PER_QUERY = 500;

/** Those that wait longest first. @param limit how many at most; left out: all */
export async function readHolds(database: Database, limit = Number.POSITIVE_INFINITY): Promise<HoldBody[]> {
  const items: HoldBody[] = [];
  for (let last: Hold | undefined; items.length < limit; ) {
    const wanted = Math.min(PER_QUERY, limit - items.length);
    const page = await listHolds(database, { limit: wanted, after: last?.deposit });
    const deposits = page.map(({ deposit }) => deposit);
    const acts = await listReviewActs(database, deposits);
    items.push(...page.map((hold) => holdBody(hold, acts.get(hold.deposit.id) ?? [])));
    last = page.at(-1);
    if (page.length < wanted) break;
  }
  return items;
}

export function holdsText(items: readonly HoldBody[]): string {
  if (items.length === 0) return "Nothing is held.";
  const rows = items.map(({ deposit, merchantName, heldAt, proposals }) => [
    deposit.id,
    String(deposit.sequence),
    merchantName,
    deposit.userId,
    `${deposit.amount ?? deposit.amountBaseUnits} ${deposit.currency ?? ""}`.trim(),
    deposit.reason ?? "-",
    heldAt,
    proposals.map(({ actor, act }) => `${act} by ${actor}`).join(", ") || "-",
  ]);
  return alignColumns([
    ["HELD", "SEQUENCE", "MERCHANT", "USER", "AMOUNT", "REASON", "SINCE", "PROPOSED"],
    ...rows,
  ]);
}
