/**
 * The audit log: what operators did, in a chain of hashes. The database gives each row its number, its time and its
 * hashes, and refuses any change; `docs/review.md` says how to check it without us.
 */
import type { Actor } from "../core/actor.ts";
import type { Sql } from "../db/database.ts";

export const AUDIT_ACTIONS = [
  "deposit.propose_release",
  "deposit.release",
  "deposit.propose_reject",
  "deposit.reject",
  "chain.resume",
  "chain.rescan",
  "merchant.create",
  "key.create",
  "key.revoke",
  "xpub.set",
  "xpub.remove",
  "config.change",
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

export interface AuditEntry {
  readonly actor: Actor;
  readonly action: AuditAction;
  /** What it was done to: a deposit's id, `chain:1`, a merchant's or a key's id. One line. */
  readonly subject: string;
  /** Plain JSON values. Never a secret: what stands here can never be taken away again. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * Writes down what is done in this transaction. Let it be the transaction's last statement: from here to its end
 * all others that write here wait.
 */
export async function appendAudit(tx: Sql, { actor, action, subject, detail }: AuditEntry): Promise<void> {
  const all = actor.keyId === null ? detail : { ...detail, key: actor.keyId };
  await tx.query("INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, $2, $3, $4)", [
    actor.id,
    action,
    subject,
    JSON.stringify(all),
  ]);
}

export interface AuditRow {
  readonly sequence: bigint;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  /** JSON, the exact text that is hashed. */
  readonly detail: string;
  /** Hex, 64 digits. */
  readonly previousHash: string;
  readonly hash: string;
}

/** Rows after a number, oldest first. Numbers have no gap, and none appears behind a reader. */
export async function listAudit(sql: Sql, after: bigint, limit: number): Promise<AuditRow[]> {
  return sql.query<AuditRow>(
    `SELECT sequence, at, actor, action, subject, detail, encode(previous_hash, 'hex') AS "previousHash",
       encode(hash, 'hex') AS hash
     FROM audit_log WHERE sequence > $1 ORDER BY sequence LIMIT $2`,
    [after, limit],
  );
}

/** The last row, by which all rows before it are fixed. */
export interface AuditHead {
  /** 0: nothing was ever written. */
  readonly sequence: bigint;
  readonly hash: string;
}

export async function readAuditHead(sql: Sql): Promise<AuditHead> {
  const [head] = await sql.query<AuditHead>("SELECT sequence, encode(hash, 'hex') AS hash FROM audit_head");
  if (head === undefined) throw new RangeError("The audit log has lost its head");
  return head;
}

/** Whether a head that was noted down once is still a row of the log. @param hash 64 hexadecimal digits */
export async function isInAuditLog(sql: Sql, hash: string): Promise<boolean> {
  const rows = await sql.query("SELECT FROM audit_log WHERE hash = decode($1, 'hex') LIMIT 1", [hash]);
  return rows.length > 0;
}
