import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { CHAIN_ID, MERCHANT_ID } from "../../testing/factory.ts";
import { createTestHolds, type TestHolds } from "../../testing/holds.ts";
import { pageOf } from "../answers.ts";
import { problemShape } from "../problem.ts";
import { auditPageShape, holdShape, reviewedShape } from "../review-answers.ts";

let db: TestDatabase;
let api: TestApi;
let holds: TestHolds;
let fourEyes: boolean;
let ann: string;
let bob: string;

beforeEach(async () => {
  db = await createTestDatabase();
  fourEyes = false;
  api = await createTestApi(db, { fourEyes: () => fourEyes });
  holds = await createTestHolds(db);
  [ann, bob] = [await api.addOperator("ann"), await api.addOperator("bob")];
});
afterEach(() => db.drop());

const review = (
  key: string,
  depositId: string,
  act: string,
  body: object = { note: "seen" },
  once?: string,
) =>
  api.call("POST", `/v1/admin/holds/${depositId}/${act}`, {
    key,
    body,
    headers: once === undefined ? {} : { "idempotency-key": once },
  });
const list = async (query = "") => {
  const answer = await api.call("GET", `/v1/admin/holds${query}`, { key: ann });
  expect(answer.status).toBe(200);
  return pageOf(holdShape, "HoldPage").parse(answer.body);
};
const codeOf = (answer: { body: unknown }) => problemShape.parse(answer.body).code;

describe("the operators' part of the API", () => {
  test("is closed to a merchant's own key, before the body is read, and to no key at all", async () => {
    for (const [method, path] of [
      ["GET", "/v1/admin/holds"],
      ["GET", "/v1/admin/audit"],
      ["POST", "/v1/admin/holds/dep_1/release"],
      ["POST", "/v1/admin/holds/dep_1/reject"],
    ] as const) {
      const answer = await api.call(method, path, method === "POST" ? { text: "{" } : {});
      expect([answer.status, codeOf(answer)]).toEqual([403, "forbidden"]);
      expect((await api.call(method, path, { key: null })).status).toBe(401);
    }
  });

  test("lists the holds of every merchant, the oldest first, with what held them", async () => {
    const held = [await holds.hold(), await holds.hold(), await holds.hold()];
    const first = await list("?limit=2");
    expect(first.items.map(({ deposit }) => deposit.id)).toEqual([held[0]?.id, held[1]?.id]);
    expect(first.items[0]).toMatchObject({
      deposit: { status: "held", reason: "amount_over_limit", merchantId: MERCHANT_ID, userId: "alice" },
      merchantName: "Test",
      findings: [expect.stringContaining("limit")],
      proposals: [],
    });
    const second = await list(`?limit=2&cursor=${first.nextCursor}`);
    expect(second.items.map(({ deposit }) => deposit.id)).toEqual([held[2]?.id]);
    expect(second.nextCursor).toBeNull();
  });

  test("releases and rejects, and says what stands when asked again", async () => {
    const [one, two] = [await holds.hold(), await holds.hold()];
    const released = await review(ann, one.id, "release");
    expect(released.status).toBe(200);
    expect(reviewedShape.parse(released.body)).toMatchObject({
      outcome: "released",
      isNew: true,
      deposit: { status: "credited" },
    });
    expect(reviewedShape.parse((await review(bob, one.id, "release")).body).isNew).toBe(false);
    const refused = await review(bob, one.id, "reject");
    expect([refused.status, codeOf(refused)]).toEqual([409, "review_decided"]);
    expect((await review(ann, two.id, "reject")).body).toMatchObject({ outcome: "rejected" });
    expect((await list()).items).toEqual([]);
    const metrics = (await api.call("GET", "/metrics", { key: null })).text;
    for (const status of ["credited", "rejected"])
      expect(metrics).toContain(`depositd_deposit_moves_total{chain_id="${CHAIN_ID}",status="${status}"} 1`);
  });

  test("shows a proposal in the hold, refuses its operator, and takes a second one", async () => {
    fourEyes = true;
    const held = await holds.hold();
    expect((await review(ann, held.id, "release", { note: "payroll" })).status).toBe(202);
    expect((await list()).items[0]?.proposals).toMatchObject([
      { actor: "operator:ann", act: "release", note: "payroll", isStanding: true },
    ]);
    const again = await review(await api.addOperator("ann"), held.id, "release");
    expect([again.status, codeOf(again)]).toEqual([409, "second_operator_required"]);
    const nobody = await review(await api.addOperator(null), held.id, "release");
    expect([nobody.status, codeOf(nobody)]).toEqual([403, "operator_required"]);
    expect(await review(bob, held.id, "release")).toMatchObject({
      status: 200,
      body: { outcome: "released" },
    });
  });

  test("answers a request that is sent again under its key, and never another operator with it", async () => {
    fourEyes = true;
    const held = await holds.hold();
    const first = await review(ann, held.id, "release", { note: "n" }, "same");
    expect(await review(ann, held.id, "release", { note: "n" }, "same")).toMatchObject({
      status: 202,
      text: first.text,
    });
    const other = await review(bob, held.id, "release", { note: "n" }, "same");
    expect([other.status, codeOf(other)]).toEqual([409, "idempotency_conflict"]);
    expect((await review(bob, held.id, "release", { note: "n" }, "own")).status).toBe(200);
  });

  test("refuses what the operator did not see, a note that says nothing, and what is not there", async () => {
    const held = await holds.hold();
    const stale = await review(ann, held.id, "release", { note: "n", sequence: 1 });
    expect([stale.status, codeOf(stale)]).toEqual([409, "deposit_changed"]);
    for (const body of [{}, { note: "" }, { note: "x".repeat(501) }, { note: "a\0" }, { note: "n", why: 1 }])
      expect((await review(ann, held.id, "release", body)).status).toBe(400);
    expect((await review(ann, "dep_none", "release")).status).toBe(404);
    expect((await list()).items).toHaveLength(1);
  });

  test("reads the audit log on from where one was", async () => {
    const held = await holds.hold();
    fourEyes = true;
    await review(ann, held.id, "release", { note: "n1" });
    await review(bob, held.id, "release", { note: "n2" });
    const page = async (query: string) =>
      auditPageShape.parse((await api.call("GET", `/v1/admin/audit${query}`, { key: bob })).body);
    const first = await page("?limit=1");
    expect(first).toMatchObject({
      items: [{ actor: "operator:ann", action: "deposit.propose_release", detail: { note: "n1" } }],
      nextAfter: 1,
      hasMore: true,
    });
    const second = await page(`?after=${first.nextAfter}`);
    expect(second).toMatchObject({ items: [{ subject: held.id, detail: { note: "n2" } }], hasMore: false });
    expect(second.items[0]?.previousHash).toBe(first.items[0]?.hash);
    expect(await page("?after=2")).toEqual({ items: [], nextAfter: 2, hasMore: false });
    expect((await api.call("GET", "/v1/admin/audit?after=x", { key: bob })).status).toBe(400);
  });
});
