/**
 * The whole daemon on real nodes of other makes than anvil: they have no receipts of a whole block, no traces, and
 * call their own head safe and finalized.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { contractCode } from "../testing/contracts.ts";
import type { DaemonConfig } from "../testing/daemon-config.ts";
import { addressOf } from "../testing/factory.ts";
import { startGanache } from "../testing/ganache.ts";
import { startHardhat } from "../testing/hardhat.ts";
import { expectAgreement } from "./agreement.ts";
import { CREDIT_DEPTH, type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

const ETHER = 10n ** 18n;
const empty = (length: number) => Array.from({ length }, () => ({}));

describe.each([
  ["hardhat", startHardhat],
  ["ganache", startGanache],
])("a chain behind %s", (make, startNode) => {
  let rig: Rig;
  const users: Record<string, Address> = {};
  beforeAll(async () => {
    rig = await startRig({ node: () => startNode() });
  });
  afterAll(async () => {
    await rig.stop();
  });
  const watch = async (userId: string) => {
    const address = await rig.watch(userId);
    users[userId] = address;
    return address;
  };
  const onlyDepositOf = async (userId: string) => {
    const deposits = await rig.depositsOf(userId);
    expect(deposits).toHaveLength(1);
    return deposits[0] as (typeof deposits)[number];
  };

  it("D1: finds a native transfer and a token's, and unlocks both", async () => {
    const alice = await watch("alice");
    await rig.anvil.send({ to: alice, valueWei: ETHER, data: "0x6f72646572203137" });
    await rig.anvil.transferToken(rig.token, alice, 2_000_000n, rig.anvil.account(1));
    await rig.mineDeep();
    expect((await rig.summaryOf("alice")).sort()).toEqual(["unlocked 1 ETH", "unlocked 2 USDT"]);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, ETHER], USDT: [0n, 2_000_000n] });
  });

  it("A1: credits nothing of a native transfer that failed", async () => {
    const refusing = await rig.anvil.deploy(await contractCode("RefusingToken"));
    await rig.watch("refusing", refusing);
    const hash = await rig.anvil.send({ to: refusing, valueWei: ETHER, gas: 100_000n });
    await rig.mineDeep();
    expect((await rig.anvil.client.getTransactionReceipt({ hash })).status).toBe("reverted");
    expect(await rig.depositsOf("refusing")).toEqual([]);
  });

  it("B2: keeps one deposit when its transaction is included again elsewhere on another branch", async () => {
    const bob = await watch("bob");
    const payment = await rig.anvil.sign({ from: rig.anvil.account(2), to: bob, valueWei: ETHER });
    const other = await rig.anvil.sign({ from: rig.anvil.account(3), to: addressOf("nobody"), valueWei: 1n });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [payment] }]);
    await rig.caughtUp();
    const seen = await onlyDepositOf("bob");
    const branch = await rig.anvil.mineBranch(point, [
      {},
      { transactions: [other, payment] },
      ...empty(UNLOCK_DEPTH),
    ]);
    await rig.quiet();
    expect(await onlyDepositOf("bob")).toMatchObject({
      id: seen.id,
      status: "unlocked",
      blockHash: branch[1]?.hash,
    });
    expect(rig.receiver.toldOf(seen.id)).toEqual(["pending", "orphaned", "pending", "credited", "unlocked"]);
  });

  it("B4, B5: reverses for good what was credited on a branch that lost to another payment of the same nonce", async () => {
    const carol = await watch("carol");
    const payment = await rig.anvil.sign({ from: rig.anvil.account(4), to: carol, valueWei: ETHER });
    const instead = await rig.anvil.sign({
      from: rig.anvil.account(4),
      to: addressOf("nobody"),
      valueWei: ETHER,
    });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(CREDIT_DEPTH - 1)]);
    await rig.quiet();
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [ETHER, 0n] });
    await rig.anvil.mineBranch(point, [{ transactions: [instead] }, ...empty(UNLOCK_DEPTH)]);
    await rig.quiet();
    const gone = await onlyDepositOf("carol");
    expect(gone.status).toBe("reversed");
    expect(rig.receiver.toldOf(gone.id)).toEqual(["pending", "credited", "reversed"]);
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [0n, 0n] });
  });

  it("ends with a ledger that equals the chain", async () => {
    await expectAgreement(rig, users);
  });

  it("says how much its blocks prove, at the chain and at each deposit", async () => {
    const [chain] = await rig.test.database.query<{ level: string; alarm: string | null }>(
      "SELECT verification AS level, verification_alarm AS alarm FROM chains",
    );
    expect(chain).toEqual({ level: "proved", alarm: null });
    const deposits = await rig.test.database.query<{ level: string }>(
      "SELECT DISTINCT verification AS level FROM deposits",
    );
    expect(deposits).toEqual([{ level: "proved" }]);
  });

  it("is told by doctor to need a request for each receipt, and to call its own head finalized", async () => {
    const confirmations = { credit: CREDIT_DEPTH, unlock: "finalized" };
    await rig.daemon.configure(withChain(rig, { confirmations }));
    const { exitCode, stdout } = await rig.daemon.command("doctor", "--json");
    await rig.daemon.configure(rig.config);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/has no eth_getBlockReceipts/);
    expect(stdout).toMatch(/calls its own head .{1,2}finalized/);
  });

  it("C11: is refused by doctor and is not ready where inner calls are to be found", async () => {
    const native = { currency: "ETH", decimals: 18, minimum: "0.001", internal: "trace" };
    await rig.daemon.kill("SIGTERM");
    await rig.daemon.configure(withChain(rig, { native }));
    await rig.daemon.launch();
    await rig.daemon.url();
    const cursorBefore = await cursorOf(rig);
    await rig.anvil.mine(2);
    const doctor = await rig.daemon.command("doctor", "--json");
    expect([doctor.exitCode, doctor.stdout]).toEqual([
      1,
      expect.stringMatching(/neither debug_traceBlockByHash/),
    ]);
    const isToldUnready = async () => {
      const { status, body } = await rig.daemon.readyz();
      return status === 503 && /neither debug_traceBlockByHash/.test(JSON.stringify(body));
    };
    await expect.poll(isToldUnready, { timeout: 20_000 }).toBe(true);
    expect(await cursorOf(rig)).toBe(cursorBefore);
  });

  it(`says its make: ${make}`, async () => {
    expect(await rig.anvil.request<string>("web3_clientVersion")).toMatch(new RegExp(make, "i"));
  });
});

async function cursorOf(rig: Rig): Promise<bigint | undefined> {
  const [row] = await rig.test.database.query<{ cursor_number: bigint }>("SELECT cursor_number FROM chains");
  return row?.cursor_number;
}

function withChain(rig: Rig, changed: Readonly<Record<string, unknown>>): DaemonConfig {
  return { ...rig.config, chains: rig.config.chains.map((chain) => ({ ...chain, ...changed })) };
}
