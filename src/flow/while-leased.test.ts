/** Two daemons on one chain: who holds its lease follows it, and nobody else writes. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { alice, createFollowedChain, type FollowedChain } from "../testing/followed-chain.ts";
import { waitFor } from "../testing/wait-for.ts";

const ETHER = 10n ** 18n;
const LEASE_MS = 1_500;
const PATIENCE = { timeoutMs: 60_000 };

let chain: FollowedChain;
beforeEach(async () => {
  chain = await createFollowedChain();
});
afterEach(() => chain.stop());

describe("two followers of one chain", () => {
  it("H1: lets one follow, and the other take over when it stops", async () => {
    const first = await chain.follow({ holder: "first", leaseMs: LEASE_MS });
    await chain.cursorAt(0n);
    await waitFor(async () => (await chain.state()).leaseHolder === "first", PATIENCE);
    await chain.follow({ holder: "second", leaseMs: LEASE_MS });
    await chain.anvil.sendEth(alice, ETHER);
    await chain.anvil.mine(1);
    await chain.cursorAt(1n);
    expect((await chain.state()).leaseHolder).toBe("first");
    await first.stop();
    await waitFor(async () => (await chain.state()).leaseHolder === "second", PATIENCE);
    await chain.anvil.mine(3);
    await chain.cursorAt(4n);
    await chain.statusIs("credited");
  });

  it("H7: stops a follower whose lease has passed to another, before it writes anything, and lets it wait for its turn", async () => {
    const lost: bigint[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (message, fields) => {
        if (message === "Lost the lease") lost.push(BigInt(String(fields?.["lease_token"])));
      },
    };
    await chain.follow({ holder: "frozen", leaseMs: LEASE_MS, isUnsupervised: true, logger });
    // Again and again: it never counts as a failure, after which one would wait longer and longer.
    for (const turn of [1, 2, 3]) {
      await chain.anvil.mine(1);
      const cursorNumber = BigInt(turn * 2 - 1);
      await chain.cursorAt(cursorNumber);
      await chain.test.database.query(
        "UPDATE chains SET lease_holder = 'other', lease_token = lease_token + 1, lease_until = now() + interval '1 hour'",
      );
      await chain.anvil.mine(1);
      await waitFor(() => lost.length === turn, {
        ...PATIENCE,
        what: "the follower to see that it lost the lease",
      });
      expect(await chain.state()).toMatchObject({ cursorNumber, leaseHolder: "other" });
      await chain.test.database.query("UPDATE chains SET lease_until = now()");
    }
    await chain.cursorAt(6n);
  });
});
