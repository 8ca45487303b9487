/** What holds a deposit before its credit, against a real PostgreSQL. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checksumAddress } from "../core/hex.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { type HoldRules, holdRulesOf } from "../review/hold-rules.ts";
import type { ReviewConfig, ScreeningConfig } from "../runtime/config/config.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, CHAIN_ID, MERCHANT_ID, transferOf, USDT } from "../testing/factory.ts";
import { createIngestedChain, type IngestedChain } from "../testing/ingested-chain.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { RULES } from "./verify-store.ts";

const [alice, mallory] = [addressOf("alice"), addressOf("mallory")];
const COIN = 10n ** 18n;
const NO_RULES: ReviewConfig = { fourEyes: false, limits: [], senderLists: [], screening: null };
const SCREENING: ScreeningConfig = {
  url: "http://127.0.0.1:1/",
  secret: "",
  timeoutMs: 1_000,
  scheduleMs: [0],
  onNoAnswer: "hold",
  concurrency: 1,
};
const LIMIT = { chainId: CHAIN_ID, token: null, currency: "ETH", decimals: 18, overBaseUnits: 5n * COIN };

let test: TestDatabase;
let chain: IngestedChain;

beforeEach(async () => {
  test = await createTestDatabase();
  chain = await createIngestedChain(test.database);
});
afterEach(() => test.drop());

/** Of one list, `bad.csv`, with Mallory in it. */
function rulesOf(review: Partial<ReviewConfig>): HoldRules | null {
  const filesWith = (address: string) => (address === mallory ? ["bad.csv"] : []);
  return holdRulesOf({ ...NO_RULES, ...review }, { filesWith });
}

const pay = (tx: string, given: Partial<Parameters<typeof transferOf>[0]> = {}) =>
  transferOf({ to: alice, tx, ...given });

const settle = (rules: HoldRules | null) => settleDeposits(test.database, CHAIN_ID, undefined, rules);
const findings = async () =>
  (
    await test.database.query<{ findings: string[] }>(
      "SELECT findings FROM deposit_holds ORDER BY deposit_id",
    )
  ).flatMap((hold) => hold.findings);
const eventTypes = async () =>
  (
    await test.database.query<{ type: string; body: string }>(
      "SELECT type, body FROM events ORDER BY deposit_id, sequence",
    )
  ).map(({ type, body }) => [type, (JSON.parse(body) as { data: { reason: string | null } }).data.reason]);
const balance = async () =>
  (await listUserBalances(test.database, MERCHANT_ID, "alice")).reduce(
    (sum, { lockedBaseUnits, availableBaseUnits }) => sum + lockedBaseUnits + availableBaseUnits,
    0n,
  );
const answer = (state: string, detail: string | null = null) =>
  test.database.query(
    `INSERT INTO screenings (deposit_id, generation, state, next_attempt_at, detail, answered_at)
     SELECT id, generation, $1, now(), $2, CASE WHEN $1 <> 'due' THEN now() END FROM deposits
     ON CONFLICT (deposit_id, generation) DO UPDATE
       SET state = excluded.state, detail = excluded.detail, answered_at = excluded.answered_at`,
    [state, detail],
  );
async function expectBooksInOrder(): Promise<void> {
  for (const rule of RULES)
    expect([rule.name, await test.database.query(rule.query)]).toEqual([rule.name, []]);
}

describe("a deposit over its asset's limit", () => {
  it("is held when it is deep enough, never credited first, and one exactly at the limit is credited", async () => {
    await chain.ingestDue(
      pay("at", { amountBaseUnits: 5n * COIN }),
      pay("over", { amountBaseUnits: 5n * COIN + 1n }),
      pay("other", { token: USDT, source: "log:0", amountBaseUnits: 10n ** 30n }),
    );
    const rules = rulesOf({ limits: [LIMIT] });
    expect(await settle(rules)).toMatchObject({ credited: 2, held: 1, rejected: 0 });
    expect(await chain.statuses()).toEqual(["credited", "credited", "held amount_over_limit"]);
    expect(await findings()).toEqual(["5.000000000000000001 ETH is over the limit of 5 ETH"]);
    expect((await eventTypes()).filter(([type]) => type === "deposit.held")).toEqual([
      ["deposit.held", "amount_over_limit"],
    ]);
    expect(await balance()).toBe(5n * COIN + 10n ** 30n);
    expect(await settle(rules)).toMatchObject({ credited: 0, held: 0 });
    await expectBooksInOrder();
  });

  it("is not held before it is deep enough, and by the rule in force then", async () => {
    await chain.ingestNearlyDue(pay("1", { amountBaseUnits: 9n * COIN }));
    expect(await settle(rulesOf({ limits: [LIMIT] }))).toMatchObject({ held: 0 });
    expect(await chain.statuses()).toEqual(["pending"]);
    await chain.deepen();
    const raised = { ...LIMIT, overBaseUnits: 9n * COIN };
    expect(await settle(rulesOf({ limits: [raised] }))).toMatchObject({ credited: 1, held: 0 });
  });
});

describe("a deposit from a listed sender", () => {
  it("is held whether the list has who it is from or who sent its transaction", async () => {
    await chain.ingestDue(
      pay("from", { from: mallory }),
      pay("sender", { sender: mallory }),
      pay("both", { from: mallory, sender: mallory }),
      pay("neither"),
      pay("older", { sender: null }),
    );
    expect(await settle(rulesOf({ senderLists: ["bad.csv"] }))).toMatchObject({ credited: 2, held: 3 });
    expect(await chain.statuses()).toEqual(["credited", "credited", ...Array(3).fill("held sender_listed")]);
    const who = checksumAddress(mallory);
    expect((await findings()).sort()).toEqual([
      `The sender ${who} is in bad.csv`,
      `The sender ${who} is in bad.csv`,
      `The sender of the transaction ${who} is in bad.csv`,
    ]);
  });

  it("has that for its reason though it is over the limit too, and operators see both", async () => {
    await chain.ingestDue(pay("1", { from: mallory, amountBaseUnits: 6n * COIN }));
    await settle(rulesOf({ senderLists: ["bad.csv"], limits: [LIMIT] }));
    expect(await chain.statuses()).toEqual(["held sender_listed"]);
    expect(await findings()).toEqual([
      expect.stringContaining("is in bad.csv"),
      "6 ETH is over the limit of 5 ETH",
    ]);
  });
});

describe("a held deposit", () => {
  it("B1: is orphaned when its block leaves, pending again where it is included again, and judged anew there", async () => {
    const large = { amountBaseUnits: 6n * COIN };
    await chain.ingestDue(pay("1", large));
    const rules = rulesOf({ limits: [LIMIT] });
    await settle(rules);
    await chain.undo();
    expect((await chain.deposits()).map(({ status }) => status)).toEqual(["orphaned"]);
    await chain.ingestDue(pay("1", large));
    expect(await chain.statuses()).toEqual(["pending"]);
    expect(await settle(rules)).toMatchObject({ held: 1 });
    expect(await chain.statuses()).toEqual(["held amount_over_limit"]);
    expect(await eventTypes()).toEqual([
      ["deposit.pending", null],
      ["deposit.held", "amount_over_limit"],
      ["deposit.orphaned", "amount_over_limit"],
      ["deposit.pending", null],
      ["deposit.held", "amount_over_limit"],
    ]);
    expect(await balance()).toBe(0n);
    await expectBooksInOrder();
  });
});

describe("a deposit that is screened", () => {
  const screened = (given: Partial<ScreeningConfig> = {}) =>
    rulesOf({ screening: { ...SCREENING, ...given } });

  it("waits for its answer, and holds up no other", async () => {
    await chain.ingestDue(pay("1"), pay("2"));
    expect(await settle(screened())).toMatchObject({ credited: 0, held: 0 });
    await answer("due");
    expect(await settle(screened())).toMatchObject({ credited: 0, held: 0 });
    await test.database.query(
      `UPDATE screenings SET state = 'approve', answered_at = now()
       WHERE deposit_id = (SELECT min(deposit_id) FROM screenings)`,
    );
    expect(await settle(screened())).toMatchObject({ credited: 1, held: 0 });
    expect(await chain.statuses()).toEqual(["credited", "pending"]);
  });

  it.each([
    ["approve", "hold", "credited"],
    ["hold", "hold", "held screening"],
    ["reject", "hold", "rejected screening"],
    ["no_answer", "hold", "held screening_no_answer"],
    ["no_answer", "approve", "credited"],
    ["hold", "approve", "held screening"],
  ] as const)("answered %s, with %s for no answer, becomes %s", async (state, onNoAnswer, becomes) => {
    await chain.ingestDue(pay("1"));
    await answer(state, "mixer, 3 hops");
    await settle(screened({ onNoAnswer }));
    expect(await chain.statuses()).toEqual([becomes]);
    expect(await findings()).toEqual(
      becomes === "credited" ? [] : [expect.stringContaining("The screening service")],
    );
    await expectBooksInOrder();
  });

  it("is told as held and then as rejected when the service rejects it, in one transaction", async () => {
    await chain.ingestDue(pay("1", { from: mallory }));
    await answer("reject", "stolen");
    const rules = rulesOf({ screening: SCREENING, senderLists: ["bad.csv"] });
    expect(await settle(rules)).toMatchObject({ credited: 0, held: 1, rejected: 1 });
    expect(await eventTypes()).toEqual([
      ["deposit.pending", null],
      ["deposit.held", "sender_listed"],
      ["deposit.rejected", "screening"],
    ]);
    const xids = await test.database.query("SELECT DISTINCT xid FROM events WHERE sequence > 1");
    expect(xids).toHaveLength(1);
    expect(await findings()).toEqual([
      expect.stringContaining("is in bad.csv"),
      "The screening service answered reject: stolen",
    ]);
  });

  it("needs a new answer where it is included again: the other branch may pay another amount", async () => {
    await chain.ingestDue(pay("1"));
    await answer("approve");
    await chain.undo();
    await chain.ingestDue(pay("1"));
    expect(await settle(screened())).toMatchObject({ credited: 0, held: 0 });
    await answer("approve");
    expect(await settle(screened())).toMatchObject({ credited: 1 });
  });
});

it("asks the database nothing more where no rule is configured", async () => {
  await chain.ingestDue(pay("1"));
  const texts: string[] = [];
  const { database } = test;
  const counting = {
    ...database,
    transaction: <Result>(work: (tx: typeof database) => Promise<Result>) =>
      database.transaction((tx) =>
        work({
          ...database,
          query: (text, values, name) => {
            texts.push(text);
            return tx.query(text, values, name);
          },
        }),
      ),
  };
  await settleDeposits(counting, CHAIN_ID, undefined, rulesOf({}));
  expect(rulesOf({})).toBeNull();
  expect(texts.filter((text) => /screenings|deposit_holds/.test(text))).toEqual([]);
  expect(texts.length).toBeGreaterThan(0);
});
