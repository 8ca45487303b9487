/** `hold list`, `hold release`, `hold reject`, `audit list`: the review by the command line. */
import { type AuditRow, listAudit } from "../../audit/audit-store.ts";
import { InputError } from "../../core/errors.ts";
import type { Database } from "../../db/database.ts";
import { reviewDeposit } from "../../flow/review-deposits.ts";
import { NOTE, NOTE_RULE } from "../../http/inputs.ts";
import { auditRowBody, type ReviewedBody, reviewedBody } from "../../http/review-answers.ts";
import type { ReviewAct } from "../../review/review-act-store.ts";
import { actingAs } from "../acting.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { holdsText, readHolds } from "../hold-list.ts";
import { parseNumber } from "../parse-number.ts";
import { setUp } from "../setup.ts";
import { alignColumns } from "../table.ts";
import { withDatabase } from "../with-database.ts";

const PER_QUERY = 500;

export async function listHoldsCommand(options: GlobalOptions): Promise<CommandResult> {
  const items = await withDatabase(await setUp(options), (database) => readHolds(database));
  return { exitCode: EXIT.done, json: { items }, text: holdsText(items) };
}

export interface ReviewArguments {
  readonly depositId: string;
  readonly note: string;
  readonly sequence?: string;
}

/** @throws {InputError} `invalid_request`, and all that `reviewDeposit` throws */
export async function reviewCommand(
  options: GlobalOptions,
  act: ReviewAct,
  { depositId, note, sequence }: ReviewArguments,
): Promise<CommandResult> {
  if (!NOTE.test(note)) throw new InputError("invalid_request", `--note ${NOTE_RULE}`);
  const seen = sequence === undefined ? undefined : parseNumber(sequence, "--sequence");
  const setup = await setUp(options);
  const { fourEyes } = setup.config.review;
  const reviewed = await withDatabase(setup, async (database) => {
    const actor = await actingAs(setup, database);
    return reviewDeposit(database, { depositId, act, actor, note, sequence: seen }, { fourEyes });
  });
  const json = reviewedBody(reviewed);
  return { exitCode: EXIT.done, json, text: reviewedText(json, act) };
}

export interface AuditArguments {
  readonly after: string;
  readonly limit: string;
}

/** @throws {InputError} `invalid_request` */
export async function listAuditCommand(
  options: GlobalOptions,
  given: AuditArguments,
): Promise<CommandResult> {
  const after = BigInt(parseNumber(given.after, "--after"));
  const limit = parseNumber(given.limit, "--limit");
  const rows = await withDatabase(await setUp(options), (database) => readLog(database, after, limit));
  const items = rows.map(auditRowBody);
  return { exitCode: EXIT.done, json: { items }, text: auditText(rows) };
}

async function readLog(database: Database, after: bigint, limit: number): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  for (let from = after; rows.length < limit; ) {
    const page = await listAudit(database, from, Math.min(PER_QUERY, limit - rows.length));
    rows.push(...page);
    const last = page.at(-1);
    if (last === undefined) break;
    from = last.sequence;
  }
  return rows;
}

function reviewedText({ outcome, isNew, deposit }: ReviewedBody, act: ReviewAct): string {
  if (outcome === "proposed")
    return `Proposed to ${act} ${deposit.id}: it is done when another operator asks for the same.`;
  return isNew ? `${deposit.id} was ${outcome}.` : `${deposit.id} had been ${outcome} before.`;
}

function auditText(rows: readonly AuditRow[]): string {
  if (rows.length === 0) return "Nothing is written there.";
  const cells = rows.map(({ sequence, at, actor, action, subject, detail }) => [
    String(sequence),
    at.toISOString(),
    actor,
    action,
    subject,
    detail,
  ]);
  return alignColumns([["SEQUENCE", "AT", "ACTOR", "ACTION", "SUBJECT", "DETAIL"], ...cells]);
}
