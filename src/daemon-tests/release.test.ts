/** The ways out of `held`, through the whole daemon: what operators ask for, what merchants are told, what is booked. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CREDIT_DEPTH, type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

interface ReviewedView {
  readonly outcome: string;
  readonly isNew: boolean;
  readonly code?: string;
}

describe("the release of a held deposit", () => {
  let rig: Rig;
  let ann: string;
  let bob: string;
  beforeAll(async () => {
    rig = await startRig({
      config: { review: { fourEyes: true, limits: [{ currency: "ETH", over: "1" }] } },
    });
    [ann, bob] = [await operator("ann"), await operator("bob")];
  });
  afterAll(() => rig.stop());

  const operator = async (name: string) => {
    const made = await rig.daemon.command("key", "create", "Test", "--operator", "--name", name, "--json");
    return (JSON.parse(made.stdout) as { apiKey: string }).apiKey;
  };
  /** As an operator, whose key may do what its merchant's may. */
  const review = async (key: string, act: "release" | "reject", id: string) => {
    rig.daemon.useKey(key);
    const { body } = await rig.api.call<ReviewedView>("POST", `/v1/admin/holds/${id}/${act}`, {
      note: "seen",
    });
    return body;
  };
  const onlyDepositOf = async (userId: string) => {
    const [deposit, ...others] = await rig.depositsOf(userId);
    if (deposit === undefined || others.length > 0) throw new Error(`${userId} has not one deposit`);
    return deposit;
  };
  const heldOf = async (userId: string) => {
    await rig.anvil.sendEth(await rig.watch(userId), 2n * ETHER);
    await rig.anvil.mine(CREDIT_DEPTH);
    await rig.quiet();
    const deposit = await onlyDepositOf(userId);
    expect(deposit.status).toBe("held");
    return deposit;
  };

  it("credits it when a second operator agrees, unlocks it at its depth, and tells each move", async () => {
    const { id } = await heldOf("alice");
    expect(await review(ann, "release", id)).toMatchObject({ outcome: "proposed" });
    expect((await review(ann, "release", id)).code).toBe("second_operator_required");
    await rig.mineDeep();
    expect(await rig.balancesOf("alice")).toEqual({});
    expect(await review(bob, "release", id)).toMatchObject({ outcome: "released", isNew: true });
    await rig.receiver.untilTold(id, "unlocked");
    expect(rig.receiver.toldOf(id)).toEqual(["pending", "held", "credited", "unlocked"]);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, 2n * ETHER] });
    const verified = await rig.daemon.command("verify", "--json");
    expect(verified.exitCode).toBe(0);
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, auditHead: { sequence: 5 } });
  });

  it("keeps a rejected one out of the ledger however deep it gets", async () => {
    const { id } = await heldOf("bob");
    await review(ann, "reject", id);
    expect(await review(bob, "reject", id)).toMatchObject({ outcome: "rejected" });
    await rig.mineDeep();
    await rig.receiver.untilTold(id, "rejected");
    expect(await rig.balancesOf("bob")).toEqual({});
    expect((await onlyDepositOf("bob")).status).toBe("rejected");
  });

  it("B4: is reversed by a reorg, and takes two operators again where it is included again", async () => {
    const carol = await rig.watch("carol");
    const payment = await rig.anvil.sign({ to: carol, valueWei: 3n * ETHER });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [payment] }, {}, {}]);
    await rig.quiet();
    const { id } = await onlyDepositOf("carol");
    await review(ann, "release", id);
    await review(bob, "release", id);
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [3n * ETHER, 0n] });

    await rig.anvil.mineBranch(point, [{}, { transactions: [payment] }, {}, {}, {}]);
    await rig.quiet();
    expect(await onlyDepositOf("carol")).toMatchObject({ id, status: "held" });
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [0n, 0n] });
    expect(await review(bob, "release", id)).toMatchObject({ outcome: "proposed" });
    expect(await review(ann, "release", id)).toMatchObject({ outcome: "released" });
    await rig.mineDeep();
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [0n, 3n * ETHER] });
  });

  it("H2: happens once when the daemon is killed amid it and the operator asks again", async () => {
    const users = Array.from({ length: 6 }, (_, n) => `dave ${n}`);
    for (const user of users) await rig.anvil.sendEth(await rig.watch(user), 2n * ETHER);
    await rig.anvil.mine(CREDIT_DEPTH);
    await rig.quiet();
    const ids = (await Promise.all(users.map(onlyDepositOf))).map(({ id }) => id);
    for (const id of ids) expect(await review(ann, "release", id)).toMatchObject({ outcome: "proposed" });

    const asked = ids.map((id) => review(bob, "release", id).catch(() => undefined));
    await asked[0];
    await rig.daemon.kill("SIGKILL");
    await Promise.all(asked);
    await rig.expireHolds();
    await rig.daemon.start();
    for (const id of ids) expect(await review(bob, "release", id)).toMatchObject({ outcome: "released" });
    await rig.mineDeep();
    for (const user of users) expect(await rig.balancesOf(user)).toEqual({ ETH: [0n, 2n * ETHER] });
    const rows = await rig.test.database.query<{ count: number }>(
      "SELECT count(*)::integer AS count FROM audit_log WHERE action = 'deposit.release' AND subject = ANY ($1)",
      [ids],
    );
    expect(rows).toEqual([{ count: ids.length }]);
  });
});
