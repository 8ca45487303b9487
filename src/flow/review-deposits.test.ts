import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listAudit } from "../audit/audit-store.ts";
import { type Actor, operatorActor, shellActor } from "../core/actor.ts";
import { changeThresholds, listWaitingDeposits } from "../deposits/deposit-store.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { createApiKey, revokeApiKey } from "../merchants/api-key-store.ts";
import { listDepositHistory } from "../outbox/event-store.ts";
import type { ReviewAct } from "../review/review-act-store.ts";
import { systemRandom } from "../runtime/random.ts";
import { insertEndpoint } from "../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { createTestHolds, type TestHolds } from "../testing/holds.ts";
import { debitUser } from "./debit-user.ts";
import { type ReviewRequest, reviewDeposit } from "./review-deposits.ts";
import { checkBooks } from "./verify-store.ts";

let test: TestDatabase;
let holds: TestHolds;
let ann: Actor;
let bob: Actor;
let cy: Actor;
const root = shellActor("root");

beforeEach(async () => {
  test = await createTestDatabase();
  holds = await createTestHolds(test);
  [ann, bob, cy] = await Promise.all([operator("ann"), operator("bob"), operator("cy")]);
});
afterEach(async () => {
  // Whatever was done, the books and the audit log hold.
  expect(await checkBooks(test.database)).toEqual([]);
  await test.drop();
});

async function operator(operatorName: string): Promise<Actor> {
  const wanted = { merchantId: MERCHANT_ID, operator: true, operatorName };
  return operatorActor((await createApiKey(test.database, systemRandom, wanted)).id, operatorName);
}

type Given = Partial<Pick<ReviewRequest, "note" | "sequence">> & { fourEyes?: boolean };

const review = (act: ReviewAct, depositId: string, actor: Actor, { fourEyes = false, ...more }: Given = {}) =>
  reviewDeposit(test.database, { depositId, act, actor, note: "looked at it", ...more }, { fourEyes });
const twoEyes = { fourEyes: true };
const balance = async () => {
  const [row] = await listUserBalances(test.database, MERCHANT_ID, "alice");
  return [row?.lockedBaseUnits ?? 0n, row?.availableBaseUnits ?? 0n, row?.owedBaseUnits ?? 0n];
};
const audit = async () =>
  (await listAudit(test.database, 0n, 100)).map(({ actor, action }) => `${actor} ${action}`);

describe("a release", () => {
  it("credits a held deposit once, as settling does, and tells it with the next sequence", async () => {
    await insertEndpoint(test.database, "https://shop.example/");
    await test.database.query("UPDATE endpoints SET events = '{deposit.credited}'");
    const held = await holds.hold();
    expect([held.status, held.sequence, await balance()]).toEqual(["held", 2, [0n, 0n, 0n]]);

    const released = await review("release", held.id, root, { note: "known customer" });
    expect(released).toMatchObject({ outcome: "released", isNew: true });
    expect(released.deliveryCount).toBe(1);
    expect(await holds.find(held.id)).toEqual(released.deposit);
    expect(released.deposit).toMatchObject({ status: "credited", sequence: 3, reason: null });
    expect(await balance()).toEqual([100n, 0n, 0n]);
    expect((await listDepositHistory(test.database, held.id)).map(({ type }) => type)).toEqual([
      "deposit.pending",
      "deposit.held",
      "deposit.credited",
    ]);
    const [row] = await listAudit(test.database, 0n, 10);
    expect(row).toMatchObject({ actor: "cli:root", action: "deposit.release", subject: held.id });
    expect(JSON.parse(row?.detail ?? "")).toEqual({
      note: "known customer",
      sequence: 2,
      chainId: CHAIN_ID,
      amountBaseUnits: "100",
      fourEyes: false,
    });

    const again = await review("release", held.id, root);
    expect(again).toMatchObject({ outcome: "released", isNew: false, deposit: released.deposit });
    expect([await balance(), (await audit()).length]).toEqual([[100n, 0n, 0n], 1]);
  });

  it("is unlocked by its own depth afterwards", async () => {
    const held = await holds.hold();
    await review("release", held.id, root);
    await holds.hold();
    await holds.hold();
    expect(await holds.find(held.id)).toMatchObject({ status: "unlocked", sequence: 4 });
    expect(await review("release", held.id, root)).toMatchObject({ outcome: "released", isNew: false });
    expect(await balance()).toEqual([0n, 100n, 0n]);
  });

  it("H5: is unlocked by the policy that came into force while it was held", async () => {
    const held = await holds.hold();
    const waiting = await listWaitingDeposits(test.database, CHAIN_ID, "unlock", "", 10);
    expect(waiting.map(({ id }) => id)).toEqual([held.id]);
    const threshold = { text: "1", dueBlock: held.blockNumber, tag: null };
    const change = { depositId: held.id, sequence: held.sequence, threshold };
    await changeThresholds(test.database, "unlock", [change]);
    await review("release", held.id, root);
    await holds.settle();
    expect(await holds.find(held.id)).toMatchObject({ status: "unlocked", unlockAt: "1" });
  });

  it("repays first what the user owes", async () => {
    const first = await holds.hold();
    await review("release", first.id, root);
    const second = await holds.hold();
    const third = await holds.hold();
    expect(await balance()).toEqual([0n, 100n, 0n]);
    const { assetId } = first;
    await debitUser(test.database, {
      merchantId: MERCHANT_ID,
      userId: "alice",
      assetId: assetId ?? 0,
      amountBaseUnits: 60n,
      key: "k",
      note: null,
    });
    await holds.reorg(first, "B", false);
    expect(await balance()).toEqual([0n, 0n, 60n]);
    expect([(await holds.find(second.id)).status, (await holds.find(third.id)).status]).toEqual([
      "orphaned",
      "orphaned",
    ]);
    const fourth = await holds.hold(250n);
    await review("release", fourth.id, root);
    expect(await balance()).toEqual([190n, 0n, 0n]);
  });

  it("of many at once credits once", async () => {
    const held = await holds.hold();
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => review("release", held.id, root)));
    expect(outcomes.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(await balance()).toEqual([100n, 0n, 0n]);
  });

  it("and a rejection at once end in one outcome, and the other is a conflict", async () => {
    const held = await holds.hold();
    const outcomes = await Promise.allSettled([
      review("release", held.id, root),
      review("reject", held.id, root),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const refused = outcomes.find((each) => each.status === "rejected");
    expect(refused?.reason).toMatchObject({ code: "review_decided" });
    const { status } = await holds.find(held.id);
    expect(await balance()).toEqual([status === "credited" ? 100n : 0n, 0n, 0n]);
  });
});

describe("a rejection", () => {
  it("never enters the ledger, and stands", async () => {
    const held = await holds.hold();
    const rejected = await review("reject", held.id, root);
    expect(rejected).toMatchObject({ outcome: "rejected", isNew: true, deposit: { status: "rejected" } });
    await holds.settle("free");
    await expect(review("release", held.id, root)).rejects.toMatchObject({ code: "review_decided" });
    expect(await review("reject", held.id, root)).toMatchObject({ outcome: "rejected", isNew: false });
    expect([await balance(), await audit()]).toEqual([[0n, 0n, 0n], ["cli:root deposit.reject"]]);
  });
});

describe("what is not held any more", () => {
  it("is refused with its status when its block has left the chain, or it was never held", async () => {
    const held = await holds.hold();
    await holds.reorg(held, "B", false);
    await expect(review("release", held.id, root)).rejects.toMatchObject({
      code: "deposit_not_held",
      message: expect.stringContaining("orphaned"),
    });
    await expect(review("release", "dep_none", root)).rejects.toMatchObject({ code: "not_found" });
    expect(await audit()).toEqual([]);
  });

  it("is refused after it was released and reversed", async () => {
    const held = await holds.hold();
    await review("release", held.id, root);
    await holds.reorg(held, "B", false);
    await expect(review("release", held.id, root)).rejects.toMatchObject({ code: "deposit_not_held" });
    expect(await balance()).toEqual([0n, 0n, 0n]);
  });

  it("B2: is not what the operator saw once its block left and it came back in another", async () => {
    const held = await holds.hold();
    await holds.reorg(held, "B", true);
    const back = await holds.find(held.id);
    expect(back).toMatchObject({ status: "held", generation: 2, sequence: 5 });
    const { sequence } = held;
    await expect(review("release", held.id, root, { sequence })).rejects.toMatchObject({
      code: "deposit_changed",
    });
    const seen = { sequence: back.sequence };
    expect(await review("release", held.id, root, seen)).toMatchObject({ outcome: "released" });
    expect(await review("release", held.id, root, seen)).toMatchObject({ isNew: false });
    await expect(review("release", held.id, root, { sequence })).rejects.toMatchObject({
      code: "deposit_changed",
    });
  });

  it("B9: ends as the chain ends when a reorg and a release come at once", async () => {
    for (let round = 0; round < 10; round++) {
      const held = await holds.hold();
      await Promise.allSettled([review("release", held.id, root), holds.reorg(held, `race ${round}`, false)]);
      expect(["orphaned", "reversed"]).toContain((await holds.find(held.id)).status);
      expect(await balance()).toEqual([0n, 0n, 0n]);
      holds = await fresh();
    }
  });

  it("waits while its chain is halted", async () => {
    const held = await holds.hold();
    await test.database.query("UPDATE chains SET state = 'halted', state_reason = 'a test'");
    await expect(review("release", held.id, root)).rejects.toMatchObject({ code: "chain_halted" });
    expect((await holds.find(held.id)).status).toBe("held");
  });
});

describe("four eyes", () => {
  it("carry out what two operators ask for, the first of whom only proposes", async () => {
    const held = await holds.hold();
    const first = await review("release", held.id, ann, { ...twoEyes, note: "it is payroll" });
    expect(first).toMatchObject({ outcome: "proposed", deposit: held, deliveryCount: 0 });
    expect(first.acts).toMatchObject([
      { actor: "operator:ann", act: "release", note: "it is payroll", carriedOutAt: null },
    ]);
    expect(await balance()).toEqual([0n, 0n, 0n]);

    const second = await review("release", held.id, bob, twoEyes);
    expect(second).toMatchObject({ outcome: "released", deposit: { status: "credited" } });
    expect(await balance()).toEqual([100n, 0n, 0n]);
    expect(await audit()).toEqual(["operator:ann deposit.propose_release", "operator:bob deposit.release"]);
    const [, done] = await listAudit(test.database, 0n, 10);
    expect(JSON.parse(done?.detail ?? "")).toMatchObject({ proposedBy: ["operator:ann"], key: bob.keyId });
  });

  it("are not the two keys of one operator, nor one operator twice", async () => {
    const held = await holds.hold();
    await review("release", held.id, ann, twoEyes);
    for (const actor of [ann, await operator("ann")]) {
      await expect(review("release", held.id, actor, twoEyes)).rejects.toMatchObject({
        code: "second_operator_required",
      });
    }
    expect((await holds.find(held.id)).status).toBe("held");
  });

  it("are not somebody whose name nobody knows", async () => {
    const held = await holds.hold();
    for (const actor of [root, operatorActor("key_1", null)]) {
      await expect(review("release", held.id, actor, twoEyes)).rejects.toMatchObject({
        code: "operator_required",
        message: expect.stringContaining("DEPOSITD_OPERATOR_KEY"),
      });
    }
    expect((await holds.find(held.id)).status).toBe("held");
  });

  it("wait for a third, or for one to think again, where two ask for the opposite", async () => {
    const [held, other] = [await holds.hold(), await holds.hold()];
    for (const { id } of [held, other]) {
      expect(await review("release", id, ann, twoEyes)).toMatchObject({ outcome: "proposed" });
      const against = await review("reject", id, bob, twoEyes);
      expect(against).toMatchObject({ outcome: "proposed", deposit: { status: "held" } });
      expect(against.acts.map(({ actor, act }) => `${actor} ${act}`)).toEqual([
        "operator:ann release",
        "operator:bob reject",
      ]);
    }
    expect(await review("reject", held.id, cy, twoEyes)).toMatchObject({ outcome: "rejected" });
    const agreed = await review("reject", other.id, ann, twoEyes);
    expect(agreed.acts.map(({ actor, act }) => `${actor} ${act}`).sort()).toEqual([
      "operator:ann reject",
      "operator:bob reject",
    ]);
    expect(agreed.outcome).toBe("rejected");
    expect(await balance()).toEqual([0n, 0n, 0n]);
  });

  it("forget a proposal when the deposit's block leaves the chain", async () => {
    const held = await holds.hold();
    await review("release", held.id, ann, twoEyes);
    await holds.reorg(held, "B", true);
    expect(await review("release", held.id, bob, twoEyes)).toMatchObject({ outcome: "proposed" });
    expect(await review("release", held.id, ann, twoEyes)).toMatchObject({ outcome: "released" });
  });

  it("do not count the proposal of an operator who has no key any more", async () => {
    const held = await holds.hold();
    await review("release", held.id, ann, twoEyes);
    await revokeApiKey(test.database, ann.keyId ?? "");
    const next = await review("release", held.id, bob, twoEyes);
    expect(next.outcome).toBe("proposed");
    expect(next.acts.map(({ isStanding }) => isStanding)).toEqual([false, true]);
    expect(await review("release", held.id, cy, twoEyes)).toMatchObject({ outcome: "released" });
  });

  it("of two at once carry out one and the same, once", async () => {
    const deposits = [await holds.hold(), await holds.hold(), await holds.hold()];
    for (const { id } of deposits) {
      const outcomes = await Promise.all([ann, bob].map((each) => review("release", id, each, twoEyes)));
      expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(["proposed", "released"]);
    }
    const [locked = 0n, available = 0n] = await balance();
    expect(locked + available).toBe(300n);
  });

  it("that are asked for no more let a standing proposal be carried out by one", async () => {
    const held = await holds.hold();
    await review("release", held.id, ann, twoEyes);
    expect(await review("release", held.id, ann)).toMatchObject({ outcome: "released" });
  });
});

/** Of a database of its own, so that each round begins anew. */
async function fresh(): Promise<TestHolds> {
  expect(await checkBooks(test.database)).toEqual([]);
  await test.drop();
  test = await createTestDatabase();
  return createTestHolds(test);
}
