/** Reorgs that reach below the kept block refs, and the operator's way out. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { shellActor } from "../core/actor.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { startAnvil } from "../testing/anvil.ts";
import { assetOf, atDepth } from "../testing/factory.ts";
import { alice, createFollowedChain, type FollowedChain } from "../testing/followed-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { resumeChain } from "./resume-chain.ts";

const ETHER = 10n ** 18n;
/** Credited at depth 3, unlocked when final. */
const policy = [
  { upToBaseUnits: null, credit: atDepth(3), unlock: { depth: null, tag: "finalized" as const } },
];

let chain: FollowedChain;
beforeEach(async () => {
  chain = await createFollowedChain({ reorgWindow: 8, assets: [assetOf({ policy })] }, { slotsInAnEpoch: 2 });
});
afterEach(() => chain.stop());

describe("a reorg below what is kept", { timeout: 120_000 }, () => {
  it("B8: halts the chain with its reason, and moves its cursor no more", async () => {
    await chain.follow();
    await chain.anvil.mine(2);
    const point = await chain.anvil.forkPoint();
    await chain.anvil.mineBranch(point, empty(12));
    await chain.cursorAt(14n);
    await chain.anvil.mineBranch(point, empty(13));
    const { stateReason, cursorNumber } = await untilHalted();
    expect(stateReason).toMatch(/oldest that is kept/);
    expect(cursorNumber).toBe(14n);
  });

  it("B8: goes on where an operator says, and speaks of the halt once", async () => {
    const errors: string[] = [];
    const logger: Logger = { ...silentLogger, error: (sentence) => void errors.push(sentence) };
    // It hears of the resume before it would hear that the lease is gone.
    await chain.follow({ logger, leaseMs: 120_000 });
    await chain.anvil.mine(2);
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const point = await chain.anvil.forkPoint();
    await chain.anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(11)]);
    await chain.statusIs("unlocked");
    await chain.cursorAt(14n);
    const branch = await chain.anvil.mineBranch(point, [{}, { transactions: [payment] }, ...empty(12)]);
    await untilHalted();

    const parts = { database: chain.test.database, nodes: chain.nodes(), actor: shellActor("root") };
    await expect(resumeChain(parts, 10n)).rejects.toMatchObject({ facts: { resumeFrom: 3n } });
    const undone = await resumeChain(parts, 3n);
    expect(undone.reversed).toHaveLength(1);
    expect(undone.sameUpTo).toBeNull(); // the common blocks are not kept any more, and hold no deposit
    await expect(resumeChain(parts, 3n)).rejects.toThrow(/not halted/);

    await chain.cursorAt(16n, branch.at(-1)?.hash);
    await chain.statusIs("unlocked");
    expect(await chain.onlyDeposit()).toMatchObject({ blockNumber: 4n, blockHash: branch[1]?.hash });
    expect(errors).toEqual(["Halted a chain"]);
  });

  it("B8: undoes a reorg of the very block before the start block, soon after the first start", async () => {
    await chain.anvil.mine(10);
    const point = await chain.anvil.forkPoint();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    await chain.anvil.mineBranch(point, [{}, {}, { transactions: [payment] }]);
    await chain.follow({ chain: { ...chain.chain, startBlock: "latest" } });
    await chain.cursorAt(13n);
    const branch = await chain.anvil.mineBranch(point, [{}, {}, { transactions: [payment] }, {}]);
    await chain.cursorAt(14n, branch.at(-1)?.hash);
    expect(await chain.onlyDeposit()).toMatchObject({ blockHash: branch[2]?.hash, status: "pending" });
    expect((await chain.state()).state).toBe("following");
  });

  it("B8: halts when the chain starts anew below the kept window, and does not wait for it as for a lagging node", async () => {
    await chain.anvil.mine(20);
    const point = await chain.anvil.forkPoint();
    await chain.follow();
    await chain.cursorAt(20n);
    await chain.anvil.stop();
    const port = Number(new URL(chain.anvil.url).port);
    const anew = await startAnvil({ mining: "manual", slotsInAnEpoch: 2, port });
    try {
      // Younger than all that is kept, and than its own genesis, whichever of the two is younger.
      const latest = Math.max(point.block.timestamp, (await anew.head()).timestamp);
      await anew.mineBlock({ timestamp: latest + 1 });
      expect((await untilHalted()).cursorNumber).toBe(20n);
    } finally {
      await anew.stop();
    }
  });
});

const empty = (count: number) => Array.from({ length: count }, () => ({}));

const untilHalted = () =>
  waitFor(
    async () => {
      const state = await chain.state();
      return state.state === "halted" ? state : null;
    },
    { timeoutMs: 60_000, what: "the chain to be halted" },
  );
