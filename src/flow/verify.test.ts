/** Errors are planted as only a superuser could, with every trigger off, and each has to be named. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { appendAudit, isInAuditLog, readAuditHead } from "../audit/audit-store.ts";
import { shellActor } from "../core/actor.ts";
import type { KnownAsset } from "../core/asset.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { parseExtendedKey } from "../merchants/extended-key.ts";
import { setExtendedKey, takeNextAddress } from "../merchants/extended-key-store.ts";
import type { HoldRules } from "../review/hold-rules.ts";
import { systemRandom } from "../runtime/random.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  atDepth,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  seedChain,
  transferOf,
} from "../testing/factory.ts";
import { HOLD_ALL } from "../testing/holds.ts";
import { insertOrder } from "../testing/orders.ts";
import { walletKey } from "../testing/wallet.ts";
import { debitUser } from "./debit-user.ts";
import { type IngestContext, ingestBlocks } from "./ingest-block.ts";
import { reviewDeposit } from "./review-deposits.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { undoReorg } from "./undo-reorg.ts";
import { checkBooks, RULES } from "./verify-store.ts";
import { loadAddressWatch } from "./watch-addresses.ts";

const alice = addressOf("alice");

let test: TestDatabase;
let asset: KnownAsset;

/**
 * Books with one of each: deposits credited, unlocked, reversed with a shortfall, credited again, pending; a debit; a
 * receivable that a later credit repaid; an order paid, reopened and paid again; three deliveries of a kind.
 */
beforeEach(async () => {
  test = await createTestDatabase();
  const known = await seedChain(test.database, [
    assetOf({ policy: [{ upToBaseUnits: null, credit: atDepth(1), unlock: atDepth(3) }] }),
  ]);
  asset = known[0] as KnownAsset;
  await registerAddress(test.database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
  await test.database.query(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret)
     VALUES ('end_all', $1, 'http://127.0.0.1', '{deposit.pending,deposit.credited}', '\\x00')`,
    [MERCHANT_ID],
  );
  const expiresAt = new Date((blockOf(9).timestamp + 1) * 1000);
  await insertOrder(test.database, { orderNo: "A-1", asset, amountBaseUnits: 100n, expiresAt });
  const context: IngestContext = {
    database: test.database,
    chainId: CHAIN_ID,
    assets: new Map([[null, asset]]),
    nativeSource: "value",
    ownWallets: new Set(),
    reorgWindow: 64,
    watch: await loadAddressWatch(test.database, systemRandom),
  };
  const claim = (number: number, branch: string) => {
    const block = blockOf(number, branch);
    return { chainId: CHAIN_ID, number: block.number, hash: block.hash, leaseToken: 0n };
  };
  const step = async (
    number: number,
    branch = "A",
    parentBranch = branch,
    rules: HoldRules | null = null,
  ) => {
    const transfers = [transferOf({ to: alice, tx: `${number}`, amountBaseUnits: 100n })];
    if (number === 4)
      transfers.push(transferOf({ to: addressOf("A-1"), tx: "order", amountBaseUnits: 100n }));
    await ingestBlocks(context, claim(number - 1, parentBranch), [
      blockWith(blockOf(number, branch, parentBranch), transfers),
    ]);
    await settleDeposits(test.database, CHAIN_ID, undefined, rules);
  };
  for (const number of [1, 2, 3, 4]) await step(number);
  const debit = { merchantId: MERCHANT_ID, userId: "alice", assetId: asset.id, key: "k", note: null };
  await debitUser(test.database, { ...debit, amountBaseUnits: 150n });
  await undoReorg(test.database, claim(4, "A"), blockOf(1));
  await step(2, "B", "A");
  await step(3, "B");
  await step(5 - 1, "B");
  await step(5, "B", "B", HOLD_ALL);
  const [held] = await test.database.query<{ id: string }>("SELECT id FROM deposits WHERE status = 'held'");
  const asked = {
    depositId: held?.id ?? "",
    act: "release",
    actor: shellActor("root"),
    note: "known",
  } as const;
  await reviewDeposit(test.database, asked, { fourEyes: false });
  await writeAudit(4);
  await deriveAddresses();
});
afterEach(() => test.drop());

/** One that is bob's own, and one for an order of his. */
async function deriveAddresses(): Promise<void> {
  await test.database.transaction(async (tx) => {
    await setExtendedKey(tx, MERCHANT_ID, parseExtendedKey(walletKey().public), 0);
    for (const orderNo of [null, "derived"])
      await takeNextAddress(tx, { merchantId: MERCHANT_ID, userId: "bob", orderNo });
  });
}

/** So many more rows of the audit log. */
async function writeAudit(count: number): Promise<void> {
  const entry = { actor: shellActor("root"), action: "key.revoke", subject: "key_1" } as const;
  for (let n = 0; n < count; n++) await appendAudit(test.database, { ...entry, detail: { n } });
}

/** Triggers off, as a superuser may; then on again. */
async function plant(...statements: string[]): Promise<void> {
  const tables = [
    "ledger_entries",
    "ledger_postings",
    "ledger_accounts",
    "deposits",
    "orders",
    "events",
    "deliveries",
    "debits",
    "audit_log",
    "audit_head",
  ];
  await test.database.transaction(async (tx) => {
    for (const table of tables) await tx.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
    for (const statement of statements) await tx.query(statement);
    for (const table of tables) await tx.query(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
  });
}

const broken = async () => (await checkBooks(test.database)).map((breach) => breach.rule);

/** By the rule that has to name it: what is planted. */
const PLANTED: Readonly<Record<string, readonly string[]>> = {
  credit_without_entry: ["UPDATE deposits SET generation = 9 WHERE status = 'unlocked'"],
  entry_without_credit: ["UPDATE deposits SET status = 'pending' WHERE status = 'credited'"],
  credit_of_other_amount: ["UPDATE deposits SET amount = amount + 1 WHERE status = 'credited'"],
  unlock_out_of_step: ["DELETE FROM ledger_entries WHERE kind = 'unlock'"],
  debit_out_of_step: ["UPDATE debits SET amount = amount + 1"],
  entry_unbalanced: ["UPDATE ledger_postings SET amount = amount + 1 WHERE line = 0"],
  posting_without_entry: ["DELETE FROM ledger_entries WHERE kind = 'debit'"],
  balance_off: ["UPDATE ledger_accounts SET balance = balance + 5 WHERE kind = 'available'"],
  reversal_astray: [
    "UPDATE ledger_entries SET reverses = (SELECT id FROM ledger_entries WHERE kind = 'unlock' LIMIT 1) " +
      "WHERE id = (SELECT id FROM ledger_entries WHERE kind = 'reversal' LIMIT 1)",
  ],
  event_missing: [
    "DELETE FROM deliveries",
    "DELETE FROM events WHERE id = (SELECT id FROM events WHERE sequence = 1 LIMIT 1)",
  ],
  event_of_other_status: ["UPDATE events SET type = 'deposit.held' WHERE type = 'deposit.credited'"],
  delivery_missing: [
    "DELETE FROM deliveries WHERE event_id = (SELECT id FROM events WHERE type = 'deposit.credited' ORDER BY id OFFSET 2 LIMIT 1)",
  ],
  custody_off: ["UPDATE deposits SET amount = amount + 1 WHERE status = 'unlocked'"],
  order_out_of_step: ["UPDATE orders SET late = late + 1"],
  order_untold: ["UPDATE events SET sequence = sequence + 1 WHERE order_id IS NOT NULL AND sequence = 3"],
  waiting_out_of_step: ["DELETE FROM waiting_deposits"],
  due_out_of_step: ["DELETE FROM due_deliveries"],
  audit_broken: ["UPDATE audit_log SET actor = 'operator:eve' WHERE sequence = 2"],
  review_unaccounted: ["UPDATE review_acts SET carried_out_at = NULL"],
  derived_astray: ["UPDATE watched_addresses SET user_id = 'eve' WHERE user_id = 'bob'"],
  cursor_off_branch: ["UPDATE block_refs SET hash = sha256(hash) WHERE number = 2"],
};

describe("verify", () => {
  it("finds nothing in books with credits, unlocks, debits, reversals and repaid receivables", async () => {
    expect(await checkBooks(test.database)).toEqual([]);
    const kinds = await test.database.query<{ kind: string }>(
      "SELECT kind FROM ledger_entries UNION SELECT kind FROM ledger_accounts ORDER BY 1",
    );
    expect(kinds.map((row) => row.kind)).toEqual([
      "available",
      "credit",
      "custody",
      "debit",
      "locked",
      "receivable",
      "reversal",
      "suspense",
      "unlock",
    ]);
  });

  it.each([
    "UPDATE extended_keys SET merchant_id = 'mer_other'",
    "UPDATE extended_keys SET next_index = 1",
    "UPDATE watched_addresses SET order_no = 'other' WHERE user_id = 'bob' AND order_no IS NULL",
    "UPDATE watched_addresses SET order_no = NULL WHERE order_no = 'derived'",
  ])("names a derived address that is astray after %s", async (statement) => {
    await test.database.query("INSERT INTO merchants (id, name) VALUES ('mer_other', 'Other')");
    expect(await broken()).toEqual([]);
    await test.database.query(statement);
    expect(await broken()).toEqual(["derived_astray"]);
  });

  it("has a planted error for each of its rules", () => {
    expect(Object.keys(PLANTED).sort()).toEqual(RULES.map((rule) => rule.name).sort());
  });

  const NEW_HASH = `UPDATE audit_log SET hash = sha256(convert_to(concat_ws(E'\\n', encode(previous_hash, 'hex'), sequence,
    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), actor, action, subject, detail), 'UTF8'))
    WHERE sequence = 3`;
  it.each([
    ["a row that was changed", ["UPDATE audit_log SET detail = '{\"n\":9}' WHERE sequence = 3"], 3],
    [
      "a row that was changed together with its hash, at the row after it",
      ["UPDATE audit_log SET actor = 'cli:eve' WHERE sequence = 3", NEW_HASH],
      4,
    ],
    ["a row that is missing in the middle", ["DELETE FROM audit_log WHERE sequence = 3"], 4],
    ["the first row missing", ["DELETE FROM audit_log WHERE sequence = 1"], 2],
    [
      "a row that was taken out and the others numbered anew",
      [
        "DELETE FROM audit_log WHERE sequence = 3",
        "UPDATE audit_log SET sequence = -sequence WHERE sequence > 3",
        "UPDATE audit_log SET sequence = -sequence - 1 WHERE sequence < 0",
      ],
      3,
    ],
    ["an end that was cut off", ["DELETE FROM audit_log WHERE sequence > 3"], 5],
    ["a log that was emptied", ["DELETE FROM audit_log"], 5],
  ])("names where the audit log breaks: %s", async (_what, statements, sequence) => {
    await plant(...statements);
    const found = (await checkBooks(test.database)).find(({ rule }) => rule === "audit_broken");
    expect(Number(found?.rows[0]?.["sequence"])).toBe(sequence);
  });

  it("cannot name an end that was cut off together with the head, but a head that was noted down can", async () => {
    const head = await readAuditHead(test.database);
    expect(await isInAuditLog(test.database, head.hash)).toBe(true);
    await plant(
      "DELETE FROM audit_log WHERE sequence > 3",
      "UPDATE audit_head SET (sequence, hash) = (SELECT sequence, hash FROM audit_log WHERE sequence = 3)",
    );
    expect(await broken()).not.toContain("audit_broken");
    expect(await isInAuditLog(test.database, head.hash)).toBe(false);
  });

  for (const [rule, statements] of Object.entries(PLANTED)) {
    it(`names the offending rows of a planted error: ${rule}`, async () => {
      await plant(...statements);
      expect(await broken()).toContain(rule);
      const [breach] = (await checkBooks(test.database)).filter((each) => each.rule === rule);
      expect(breach?.rows.length).toBeGreaterThan(0);
    });
  }
});
