/**
 * The story. Each scene makes something happen on the chain and waits until the merchant has been told what it
 * means; nothing waits for a time. Every deposit is credited at 3 confirmations and unlocked at 6, but for large
 * amounts of USDT.
 */

import { waitFor } from "../../src/testing/wait-for.ts";
import { ETH, POLICY, USDT } from "./cast.ts";
import { TOLD_TIMEOUT_MS } from "./merchant.ts";
import type { Stage } from "./stage.ts";

export type Scene = (stage: Stage) => Promise<void>;

export const STORY: readonly Scene[] = [
  plainEth,
  smallAndLargeTokens,
  severalInOneTransaction,
  whatMustNotCount,
  removedBeforeCredit,
  removedAfterCredit,
];

/** Played with `--kill`. */
export const KILL_SCENES: readonly Scene[] = [killedInFlight];

/** The last scene. */
export const EPILOGUE: Scene = aWhileLater;

async function plainEth({ narrator, chain, merchant }: Stage): Promise<void> {
  narrator.scene("Plain ETH", `credited at ${POLICY.credit} confirmations, unlocked at ${POLICY.unlock}`);
  const payment = await chain.eth("alice", "1.5");
  await chain.block(payment);
  await merchant.told(payment, "pending");
  await chain.blocks(2);
  await merchant.told(payment, "credited");
  await chain.blocks(3);
  await merchant.told(payment, "unlocked");
}

async function smallAndLargeTokens({ narrator, chain, merchant }: Stage): Promise<void> {
  narrator.scene(
    "A token with 6 decimals",
    `above ${POLICY.largeFrom} USDT: credited at ${POLICY.largeCredit}, unlocked when finalized`,
  );
  const small = await chain.usdt("bob", "250.5");
  const large = await chain.usdt("carol", "25000");
  await chain.block(small, large);
  await merchant.told(small, "pending");
  await merchant.told(large, "pending");
  await chain.blocks(2);
  await merchant.told(small, "credited");
  await chain.blocks(3);
  await merchant.told(large, "credited");
  await merchant.told(small, "unlocked");
  await chain.blocks(3);
  await merchant.told(large, "unlocked");
}

async function severalInOneTransaction({ narrator, chain, merchant }: Stage): Promise<void> {
  narrator.scene("Several transfers in one transaction", "equal ones too, and ETH moved in an inner call");
  const batch = await chain.batch([
    { to: "bob", amount: "10", asset: USDT },
    { to: "bob", amount: "10", asset: USDT },
    { to: "carol", amount: "5", asset: USDT },
    { to: "alice", amount: "0.25", asset: ETH },
  ]);
  await chain.block(batch);
  await merchant.told(batch, "pending");
  await chain.blocks(2);
  await merchant.told(batch, "credited");
  await chain.blocks(3);
  await merchant.told(batch, "unlocked");
}

async function whatMustNotCount({ narrator, chain, merchant, api }: Stage): Promise<void> {
  narrator.scene("What must not count", "a failed transaction, a look-alike token, less than the minimum");
  const failing = await chain.failing("dave", "5");
  const real = await chain.usdt("dave", "12");
  const lookAlike = await chain.lookAlike("erin", "500");
  const dust = await chain.eth("erin", "0.0005");
  await chain.block(failing, real, lookAlike, dust);
  await merchant.told(lookAlike, "ignored");
  await merchant.told(dust, "ignored");
  await chain.blocks(2);
  await merchant.told(real, "credited");
  await chain.blocks(3);
  await merchant.told(real, "unlocked");
  const found = await api.listDeposits({ txHash: failing.hash });
  if (found.length > 0) throw new Error(`The failed transaction ${failing.hash} was taken for a deposit`);
  narrator.act("depositd", "has nothing for the failed transaction, though its block was read");
}

async function removedBeforeCredit({ narrator, chain, merchant }: Stage): Promise<void> {
  narrator.scene(
    "A competing branch removes a deposit before its credit",
    "and brings it back at another place",
  );
  const payment = await chain.usdt("erin", "40");
  const other = await chain.unrelated();
  const fork = await chain.forkPoint();
  await chain.branch(fork, [[payment]], "a first branch");
  await merchant.told(payment, "pending");
  await chain.branch(fork, [[], [other, payment]], "another branch: one block later, with another log index");
  await merchant.told(payment, "orphaned");
  await merchant.told(payment, "pending", 2);
  await chain.blocks(2);
  await merchant.told(payment, "credited");
  await chain.blocks(3);
  await merchant.told(payment, "unlocked");
}

async function removedAfterCredit({ narrator, chain, merchant }: Stage): Promise<void> {
  narrator.scene(
    "A competing branch removes a deposit after its credit",
    "a double spend: it does not come back",
  );
  const payment = await chain.eth("frank", "2");
  const doubleSpend = await chain.insteadOf(payment);
  const honest = await chain.eth("frank", "0.5");
  const fork = await chain.forkPoint();
  await chain.branch(fork, [[payment], [], []], "a first branch");
  await merchant.told(payment, "credited");
  await chain.branch(fork, [[doubleSpend], [honest], [], []], "a longer branch without it");
  await merchant.told(payment, "reversed");
  await merchant.told(honest, "credited");
  await chain.blocks(3);
  await merchant.told(honest, "unlocked");
}

async function killedInFlight({ narrator, chain, merchant, daemon }: Stage): Promise<void> {
  narrator.scene("kill -9", "with deposits in flight, and again at the moment of their credit");
  const first = await chain.eth("alice", "3");
  const second = await chain.usdt("frank", "77.7");
  await chain.block(first, second);
  await merchant.told(first, "pending");
  daemon.kill();

  // While nobody watches: a deposit that does not stay, and one that comes and stays.
  const gone = await chain.eth("bob", "9");
  const third = await chain.usdt("dave", "33");
  const fork = await chain.forkPoint();
  await chain.branch(fork, [[gone]], "nobody is watching");
  await chain.branch(fork, [[third], []], "another branch, still unwatched");
  await merchant.told(third, "pending");

  await chain.blocks(2);
  daemon.kill();
  for (const payment of [first, second, third]) await merchant.told(payment, "credited");
  await chain.blocks(3);
  for (const payment of [first, second, third]) await merchant.told(payment, "unlocked");
}

async function aWhileLater({ narrator, chain, merchant, api }: Stage): Promise<void> {
  narrator.scene("A while later", "nothing waits any more, and what was reversed stays reversed");
  await chain.blocks(12);
  const settled = await waitFor(
    async () => {
      const deposits = await api.listDeposits();
      return deposits.every(({ status }) => status !== "pending" && status !== "credited") && deposits;
    },
    { timeoutMs: TOLD_TIMEOUT_MS, what: "every deposit to be unlocked" },
  );
  await merchant.toldAllOf(settled);
  narrator.act("merchant", `has been told the newest status of ${settled.length} deposits`);
}
