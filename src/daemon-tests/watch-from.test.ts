/** `watchFrom` against the whole daemon: deposits that came before their address was registered. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { EXIT } from "../cli/exit-code.ts";
import { addressOf } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

interface AddressView {
  readonly address: string;
  readonly rescans: readonly {
    readonly chainId: number;
    readonly state: string;
    readonly fromTime: string | null;
    readonly fromBlock: number | null;
    readonly toBlock: number | null;
    readonly scannedBlocks: number;
    readonly totalBlocks: number | null;
  }[];
}

describeOnEachQueue("an address that is registered after its deposits", (backend) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  const register = (userId: string, watchFrom: unknown) =>
    rig.api.call<AddressView>("POST", "/v1/addresses", { userId, address: addressOf(userId), watchFrom });
  const shown = async (userId: string) => {
    const { body } = await rig.api.call<AddressView>("GET", `/v1/addresses/${addressOf(userId)}`);
    const [rescan] = body.rescans;
    if (rescan === undefined) throw new Error(`No rescan is shown for ${userId}`);
    return rescan;
  };

  it("D13: has them credited once, from the block it is watched from, after kill -9 in the middle of the scan", {
    timeout: 180_000,
  }, async () => {
    const { anvil } = rig;
    const address = addressOf("late");
    await anvil.sendEth(address, 7n * ETHER);
    const { number: first } = await anvil.mine();
    await anvil.sendEth(address, ETHER);
    await anvil.mine();
    await anvil.transferToken(rig.token, address, 2_500_000n);
    await anvil.mine();
    await anvil.mine(1_200);
    await anvil.sendEth(address, ETHER);
    await anvil.mine(6);
    await rig.caughtUp(120_000);

    expect(await register("late", { [anvil.chainId]: Number(first) + 1 })).toMatchObject({ status: 201 });
    await waitFor(
      async () => {
        const { state, scannedBlocks } = await shown("late");
        return state === "running" && scannedBlocks > 0;
      },
      { timeoutMs: 60_000, what: "the scan to be on its way" },
    );
    await rig.daemon.kill("SIGKILL");
    const [row] = await rig.test.database.query<{ state: string; next_number: bigint; to_number: bigint }>(
      "SELECT state, next_number, to_number FROM address_rescans",
    );
    expect(row).toMatchObject({ state: "running" });
    expect(row?.next_number).toBeLessThanOrEqual(row?.to_number ?? 0n);
    await rig.expireHolds();
    await rig.daemon.launch();
    await rig.daemon.ready();
    await rig.quiet(120_000);

    expect(await rig.summaryOf("late")).toEqual(["unlocked 1 ETH", "unlocked 2.5 USDT", "unlocked 1 ETH"]);
    expect(await rig.balancesOf("late")).toEqual({ ETH: [0n, 2n * ETHER], USDT: [0n, 2_500_000n] });
    const rescan = await shown("late");
    expect(rescan).toMatchObject({ state: "done", fromBlock: Number(first) + 1 });
    expect(rescan.scannedBlocks).toBe(rescan.totalBlocks);
  });

  it("D13: has them credited from a time on, and what comes later as ever", async () => {
    const { anvil } = rig;
    await anvil.sendEth(addressOf("timed"), ETHER);
    const { timestamp } = await anvil.mine();
    await anvil.mine(5);
    await rig.caughtUp();
    const watchFrom = new Date(timestamp * 1000).toISOString();
    // The block may be ahead of the clock, as anvil's are when many are mined at once.
    await waitFor(async () => (await register("timed", watchFrom)).status === 201, { timeoutMs: 60_000 });
    await anvil.sendEth(addressOf("timed"), 2n * ETHER);
    await rig.mineDeep();
    expect(await rig.summaryOf("timed")).toEqual(["unlocked 1 ETH", "unlocked 2 ETH"]);
    expect(await shown("timed")).toMatchObject({ state: "done", fromTime: watchFrom });
  });

  it("D13: has them credited after a rescan by command, which is written into the audit log once", async () => {
    const { anvil, daemon } = rig;
    const chain = String(anvil.chainId);
    const address = addressOf("by hand");
    await anvil.sendEth(address, ETHER);
    const { number: first } = await anvil.mine();
    await rig.caughtUp();
    await rig.watch("by hand", address);
    const { number: last } = await anvil.mine(2);
    await rig.caughtUp();
    const rescan = (from: bigint, to: bigint) =>
      daemon.command(
        ...["rescan", "--chain", chain, "--address", address, "--json"],
        ...["--from", String(from), "--to", String(to)],
      );
    expect((await rescan(last, first)).exitCode).toBe(EXIT.usage);
    const { exitCode, stdout } = await rescan(first, last);
    expect([exitCode, JSON.parse(stdout).deposits.length]).toEqual([EXIT.done, 1]);
    const audit = JSON.parse((await daemon.command("audit", "list", "--json")).stdout) as {
      items: { action: string; subject: string; detail: unknown }[];
    };
    // What was refused has not happened.
    expect(audit.items.filter(({ action }) => action === "chain.rescan")).toMatchObject([
      {
        subject: `chain:${chain}`,
        detail: { from: Number(first), to: Number(last), address },
      },
    ]);
    await rig.mineDeep();
    expect(await rig.summaryOf("by hand")).toEqual(["unlocked 1 ETH"]);
  });

  it("is counted by `status` and /metrics while its past is looked at", async () => {
    const { database } = rig.test;
    await rig.daemon.kill("SIGTERM");
    await database.query(
      "UPDATE address_rescans SET state = 'due', finished_at = NULL, next_number = from_number",
    );
    const { stdout } = await rig.daemon.command("status", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ rescans: [{ chainId: rig.anvil.chainId, count: 2 }] });
    await rig.daemon.start();
    await rig.quiet(120_000);
    const metrics = await rig.api.call<string>("GET", "/metrics");
    expect(metrics.body).toMatch(/^depositd_rescan_blocks_total\{chain_id="31337"\} [1-9]/m);
    expect(await rig.depositsOf("late")).toHaveLength(3);
  });
});
