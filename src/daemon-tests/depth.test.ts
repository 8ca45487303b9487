/** How deep is deep enough: one block at a time, seen by the whole daemon. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeOnEachQueue } from "./queue-backends.ts";
import { CREDIT_DEPTH, type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

const ETHER = 10n ** 18n;
const BLOCKS = 12;

describeOnEachQueue("confirmations", (backend) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  it("B11: credits and unlocks at exactly N confirmations, and at none less", async () => {
    const { anvil, receiver } = rig;
    const alice = await rig.watch("alice");
    // A deposit in every block: at each height one of them is exactly deep enough and its younger one is not.
    // Both would be settled by one statement, so once the first is, the second was judged too.
    for (let block = 1; block <= BLOCKS; block++) {
      await anvil.sendEth(alice, ETHER);
      const head = await anvil.mine();
      await rig.quiet();
      const deposits = await rig.depositsOf("alice");
      expect(deposits).toHaveLength(block);
      for (const deposit of deposits) {
        const depth = Number(head.number) - deposit.blockNumber + 1;
        expect([depth, deposit.status, deposit.confirmations]).toEqual([depth, statusAt(depth), depth]);
      }
    }
    const told = receiver.callbacks().map(({ type, data }) => `${type} at ${data.confirmations}`);
    expect([...new Set(told)].sort()).toEqual([
      `deposit.credited at ${CREDIT_DEPTH}`,
      "deposit.pending at 1",
      `deposit.unlocked at ${UNLOCK_DEPTH}`,
    ]);
    const unlocked = BigInt(BLOCKS - UNLOCK_DEPTH + 1);
    const locked = BigInt(UNLOCK_DEPTH - CREDIT_DEPTH);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [locked * ETHER, unlocked * ETHER] });
  });
});

function statusAt(depth: number): string {
  if (depth >= UNLOCK_DEPTH) return "unlocked";
  return depth >= CREDIT_DEPTH ? "credited" : "pending";
}
