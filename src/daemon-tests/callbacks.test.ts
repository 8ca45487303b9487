/** What a kill between two steps of a delivery may cost: a repeat, never a callback, never another id or body. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { waitFor } from "../testing/wait-for.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

describeOnEachQueue("callbacks across kills", (backend) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  const depositAndMine = async (userId: string) => {
    await rig.anvil.sendEth(await rig.watch(userId), ETHER);
    await rig.anvil.mine();
  };
  const dueDeliveries = async () => {
    const [row] = await rig.test.database.query<{ due: bigint }>(
      "SELECT count(*) AS due FROM due_deliveries",
    );
    return row?.due ?? 0n;
  };

  it("G2: delivers what was committed before a kill that came before anything was sent", async () => {
    const { daemon, receiver } = rig;
    await daemon.kill("SIGTERM");
    // Without its deliverer the daemon commits callbacks and sends none: the kill comes surely in between.
    await daemon.launch({}, ["--roles", "scan,settle,http"]);
    await daemon.ready();
    await depositAndMine("alice");
    await rig.caughtUp();
    await waitFor(async () => (await dueDeliveries()) > 0n, { what: "a delivery to be due" });
    await daemon.kill("SIGKILL");
    await rig.expireHolds();
    const before = receiver.callbacks().length;

    await daemon.start();
    const [deposit] = await rig.depositsOf("alice");
    await receiver.untilTold(deposit?.id ?? "", "pending");
    await rig.quiet();
    expect(receiver.callbacks().length).toBe(before + 1);
  });

  it("G2: sends the same id and the same bytes again when it was killed between sending and noting it", async () => {
    const { daemon, receiver } = rig;
    const before = receiver.sink.requests.length;
    receiver.answer(() => ({ trouble: "hang" }));
    await depositAndMine("bob");
    await receiver.sink.received(before + 1);
    await daemon.kill("SIGKILL");
    await rig.expireHolds();
    receiver.answer(() => ({}));

    await daemon.start();
    await rig.mineDeep();
    const [deposit] = await rig.depositsOf("bob");
    const told = receiver.callbacks().filter(({ data }) => data.id === deposit?.id);
    const pending = told.filter(({ data }) => data.status === "pending");
    expect(pending.length).toBeGreaterThanOrEqual(2);
    expect(new Set(pending.map(({ id }) => id)).size).toBe(1);
    expect(new Set(pending.map(({ body }) => body)).size).toBe(1);
    expect(receiver.toldOf(deposit?.id ?? "")).toEqual(["pending", "credited", "unlocked"]);
  });

  it("G2: repeats a refused callback under the same id with the same bytes, and stops when it is taken", async () => {
    const { receiver } = rig;
    const before = receiver.sink.requests.length;
    receiver.answer((_request, count) => (count < before + 3 ? { status: 500 } : {}));
    await depositAndMine("carol");
    await rig.quiet();
    const attempts = receiver.callbacks().slice(before);
    expect(attempts).toHaveLength(4);
    expect(new Set(attempts.map(({ id, body }) => id + body)).size).toBe(1);
    expect(
      new Set(receiver.sink.requests.slice(before).map(({ headers }) => headers["webhook-id"])).size,
    ).toBe(1);
  });
});
