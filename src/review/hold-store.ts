/** Why deposits were held, for the operators who release or reject them. */
import type { Deposit } from "../core/deposit.ts";
import type { Sql } from "../db/database.ts";
import type { Finding } from "./hold-rules.ts";

/** @param held as they are after the move, each with what was found */
export async function insertHolds(
  tx: Sql,
  held: readonly { readonly deposit: Deposit; readonly findings: readonly Finding[] }[],
): Promise<void> {
  if (held.length === 0) return;
  await tx.query(
    `INSERT INTO deposit_holds (deposit_id, generation, reason, findings)
     SELECT deposit_id, generation, reason, ARRAY(SELECT json_array_elements_text(findings::json))
     FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[]) AS h(deposit_id, generation, reason, findings)`,
    [
      held.map(({ deposit }) => deposit.id),
      held.map(({ deposit }) => deposit.generation),
      held.map(({ deposit }) => deposit.reason),
      held.map(({ findings }) => JSON.stringify(findings.map(({ text }) => text))),
    ],
  );
}
