/** A reorg deeper than what is kept: the whole daemon stops for that chain, and an operator resumes it by command. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EXIT } from "../cli/exit-code.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;
const REORG_WINDOW = 8;
const empty = (count: number) => Array.from({ length: count }, () => ({}));

describe("a reorg below the kept blocks", { timeout: 120_000 }, () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ chain: { reorgWindow: REORG_WINDOW } });
  });
  afterAll(() => rig.stop());

  it("B8: halts the chain with its reason, credits nothing meanwhile, and goes on where an operator says", async () => {
    const { anvil, daemon, receiver } = rig;
    const alice = await rig.watch("alice");
    const bob = await rig.watch("bob");
    const payment = await anvil.sign({ from: anvil.account(1), to: alice, valueWei: ETHER });
    const later = await anvil.sign({ from: anvil.account(2), to: bob, valueWei: 2n * ETHER });
    await anvil.mine(2);
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(REORG_WINDOW + 3)]);
    await rig.quiet();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);

    await anvil.mineBranch(point, [
      {},
      { transactions: [payment] },
      { transactions: [later] },
      ...empty(REORG_WINDOW + 3),
    ]);
    const halted = await waitFor(
      async () => {
        const { status, body } = await daemon.readyz();
        return status === 503 && JSON.stringify(body).includes("the oldest that is kept") ? body : null;
      },
      { timeoutMs: 60_000, what: "/readyz to say why the chain is halted" },
    );
    expect(JSON.stringify(halted)).toMatch(/A reorg reaches below block \d+/);
    expect(daemon.log().map(({ msg }) => msg)).toContain("Halted a chain");
    await anvil.mine(3);
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);
    expect(await rig.depositsOf("bob")).toEqual([]);

    const doctor = await daemon.command("doctor");
    expect([doctor.exitCode, doctor.stdout]).toEqual([
      EXIT.failed,
      expect.stringMatching(
        /It is halted: A reorg reaches below block \d+[\s\S]+depositd chain resume --chain 31337/,
      ),
    ]);
    const resume = (from: bigint) =>
      daemon.command("chain", "resume", "--chain", String(anvil.chainId), "--from", String(from), "--json");
    const parted = point.block.number + 1n;
    const refused = await resume(parted + 4n);
    expect(refused.exitCode).toBe(EXIT.usage);
    expect(JSON.stringify(refused)).toMatch(new RegExp(`"resumeFrom\\W+${parted}\\b`));
    expect((await resume(parted)).exitCode).toBe(EXIT.done);
    expect((await resume(parted)).exitCode).toBe(EXIT.usage); // it is followed again
    // What was refused has not happened; what was done is written down once.
    const audit = await daemon.command("audit", "list", "--json");
    const resumed = { action: "chain.resume", subject: `chain:${anvil.chainId}` };
    expect(JSON.parse(audit.stdout).items).toMatchObject([expect.anything(), resumed]);

    await rig.mineDeep(60_000);
    const [deposit] = await rig.depositsOf("alice");
    expect(receiver.toldOf(deposit?.id ?? "")).toEqual([
      "pending",
      "credited",
      "unlocked",
      "reversed",
      "pending",
      "credited",
      "unlocked",
    ]);
    expect(BigInt(deposit?.blockNumber ?? 0)).toBe(parted + 1n);
    expect(await rig.balancesOf("bob")).toEqual({ ETH: [0n, 2n * ETHER] });
    await daemon.ready(60_000);
    await expectAgreement(rig, { alice, bob });
  });
});
