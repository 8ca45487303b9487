import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { operatorActor, shellActor } from "../core/actor.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { type AuditRow, appendAudit, listAudit, readAuditHead } from "./audit-store.ts";

let test: TestDatabase;
beforeEach(async () => {
  test = await createTestDatabase();
});
afterEach(() => test.drop());

const write = (note: string) =>
  appendAudit(test.database, {
    actor: operatorActor("key_1", "ann"),
    action: "deposit.release",
    subject: "dep_1",
    detail: { note },
  });

/** As docs/review.md tells it, with nothing of the database. */
function hashOf(row: AuditRow): string {
  const { previousHash, sequence, at, actor, action, subject, detail } = row;
  const lines = [previousHash, sequence, at.toISOString(), actor, action, subject, detail];
  return createHash("sha256").update(lines.join("\n")).digest("hex");
}

describe("the audit log", () => {
  it("chains its rows by hashes that anybody can compute again", async () => {
    for (const note of ["plain", 'quotes " and \\ and \n lines', "日本語 🦊", "x".repeat(500)])
      await write(note);
    const rows = await listAudit(test.database, 0n, 100);
    expect(rows.map((row) => row.hash)).toEqual(rows.map(hashOf));
    expect(rows.map((row) => row.previousHash)).toEqual([
      "0".repeat(64),
      ...rows.slice(0, -1).map((row) => row.hash),
    ]);
    expect(rows.map((row) => row.sequence)).toEqual([1n, 2n, 3n, 4n]);
    expect(await readAuditHead(test.database)).toEqual({ sequence: 4n, hash: rows[3]?.hash });
    expect(rows[0]).toMatchObject({ actor: "operator:ann", detail: '{"note":"plain","key":"key_1"}' });
  });

  it("has no gap and no fork when many write at once and some give up", async () => {
    const each = Array.from({ length: 40 }, (_, n) =>
      test.database
        .transaction(async (tx) => {
          await appendAudit(tx, {
            actor: shellActor("root"),
            action: "key.create",
            subject: `key_${n}`,
            detail: {},
          });
          if (n % 4 === 0) throw new Error("given up");
        })
        .catch(() => undefined),
    );
    await Promise.all(each);
    const rows = await listAudit(test.database, 0n, 100);
    expect(rows.map((row) => Number(row.sequence))).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
    expect(rows.map((row) => row.hash)).toEqual(rows.map(hashOf));
    expect(rows.every((row, n) => n === 0 || row.previousHash === rows[n - 1]?.hash)).toBe(true);
    const times = rows.map((row) => row.at.getTime());
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it.each([
    "UPDATE audit_log SET actor = 'operator:eve'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE audit_head SET sequence = 0",
    "DELETE FROM audit_head",
    "TRUNCATE audit_head",
  ])("refuses %s", async (statement) => {
    await write("kept");
    await expect(test.database.query(statement)).rejects.toThrow(/append-only/);
    expect(await listAudit(test.database, 0n, 10)).toHaveLength(1);
  });

  it("refuses changes also in a session that replicates", async () => {
    await write("kept");
    const change = test.database.transaction(async (tx) => {
      await tx.query("SET LOCAL session_replication_role = replica");
      await tx.query("DELETE FROM audit_log");
    });
    await expect(change).rejects.toThrow(/append-only/);
  });

  it("gives number, time and hashes itself, whatever an insert says", async () => {
    await test.database.query(
      `INSERT INTO audit_log (sequence, at, actor, action, subject, detail, previous_hash, hash)
       VALUES (77, '2001-01-01', 'cli:root', 'key.create', 'key_1', '{}', sha256(''), sha256(''))`,
    );
    const [row] = await listAudit(test.database, 0n, 10);
    expect(row?.sequence).toBe(1n);
    expect(row?.at.getTime()).toBeGreaterThan(Date.UTC(2020, 1));
    expect(row && hashOf(row)).toBe(row?.hash);
  });

  it("takes no row that could be read as another", async () => {
    const insert = (actor: string, detail: string) =>
      test.database.query(
        "INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, 'key.create', 'key_1', $2)",
        [actor, detail],
      );
    await expect(insert("cli:root\nkey.create", "{}")).rejects.toThrow();
    await expect(insert("cli:root", "no JSON")).rejects.toThrow();
  });
});
