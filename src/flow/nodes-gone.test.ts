/**
 * All nodes of a chain gone for an hour. The hour is a fake clock's, stepped from one timer of the follower to the
 * next, only while the follower waits for nothing else; node, database, branches and supervisor are real.
 */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Deposit } from "../core/deposit.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSupervisor } from "../runtime/supervisor.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import type { TestDatabase } from "../testing/database.ts";
import { addressOf, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { createFakeClock, type FakeClock } from "../testing/fake-clock.ts";
import { startFollower, type TestFollower } from "../testing/follower.ts";
import { reset } from "../testing/lies.ts";
import { createMerchantDatabase } from "../testing/merchant-database.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { testChain } from "../testing/test-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { followChain } from "./follow-chain.ts";

const ETHER = 10n ** 18n;
const HOUR_MS = 3_600_000;
/** The supervisor's longest pause, 30 s and 20 % of them. */
const LONGEST_PAUSE_MS = 36_000;
/** Between the four tries of a question, and to the next look at the head. */
const OWN_PAUSES_MS = 5_000;
const POLL_MS = 500;
const alice = addressOf("alice");

let test: TestDatabase;
let anvil: Anvil;
let proxies: NodeProxy[];
let clock: FakeClock;
let follower: TestFollower;
/** Between two runs only the supervisor waits. */
let isRunning = false;

beforeEach(async () => {
  anvil = await startAnvil({ mining: "manual" });
  proxies = [await startNodeProxy(anvil.url), await startNodeProxy(anvil.url)];
  test = await createMerchantDatabase("alice");
  clock = createFakeClock();
  const chain = testChain(
    proxies.map(({ url }) => url),
    { blockTimeMs: 6_000, pollIntervalMs: POLL_MS, reorgWindow: 256 },
  );
  follower = await startFollower(test, {
    chain,
    clock,
    nodes: testNodes(chain.nodes, {
      clock,
      blockTimeMs: chain.blockTimeMs,
      retry: { rounds: 4, firstPauseMs: 100 },
    }),
    run: (parts, signal) => {
      const run = async (under: AbortSignal) => {
        isRunning = true;
        try {
          await followChain(parts, under);
        } finally {
          isRunning = false;
        }
      };
      const supervisor = createSupervisor({
        logger: silentLogger,
        clock,
        random: systemRandom,
        graceMs: 10_000,
      });
      supervisor.start([{ name: "follow", run }]);
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => void supervisor.stop().then(resolve), { once: true });
      });
    },
  });
});
afterEach(async () => {
  await follower.stop();
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await test.drop();
  await anvil.stop();
});

/** It waits for its time alone: to renew the lease, and for the next look; or for the supervisor's. */
const isAtRest = () => clock.sleepers().length >= (isRunning ? 2 : 1);

/** To the next of its timers. */
async function step(): Promise<void> {
  await waitFor(isAtRest, { timeoutMs: 60_000, intervalMs: 1, what: "the follower to wait for its time" });
  await clock.advance(clock.sleepers()[0] ?? 0);
}

async function stepUntil(isDone: () => Promise<boolean>): Promise<number> {
  const from = clock.now();
  while (!(await isDone())) await step();
  return clock.now() - from;
}

const isAt = (hash: string) => async () => (await getChainState(test.database, CHAIN_ID)).cursorHash === hash;
const asked = () =>
  proxies.reduce((sum, { calls }) => sum + [...calls.values()].reduce((a, b) => a + b, 0), 0);

it("C13: is back within a minute when all nodes were gone for an hour, and has lost nothing", {
  timeout: 300_000,
}, async () => {
  const payments = await anvil.signAll(
    [1n, 2n, 3n].map((coins) => ({ from: anvil.account(5), to: alice, valueWei: coins * ETHER })),
  );
  const point = await anvil.forkPoint();
  const [before] = await anvil.mineBranch(point, [{ transactions: payments }]);
  await stepUntil(isAt(before?.hash ?? ""));

  for (const proxy of proxies) {
    proxy.lie(reset());
    proxy.cutConnections();
  }
  const goneAt = clock.now();
  let longestSilenceMs = 0;
  let lastAsked = { count: asked(), at: goneAt };
  while (clock.now() - goneAt < HOUR_MS) {
    await step();
    if (asked() === lastAsked.count) continue;
    longestSilenceMs = Math.max(longestSilenceMs, clock.now() - lastAsked.at);
    lastAsked = { count: asked(), at: clock.now() };
  }
  // It neither gave up nor hammered: once in 30 s, five questions or so at each of two nodes.
  expect(longestSilenceMs).toBeLessThanOrEqual(LONGEST_PAUSE_MS + OWN_PAUSES_MS);
  expect(asked()).toBeLessThan(5_000);
  expect((await getChainState(test.database, CHAIN_ID)).cursorHash).toBe(before?.hash);

  // Meanwhile: a branch was left, and ten blocks a minute were made.
  await anvil.mineBranch(point, [{}, { transactions: payments.slice(0, 2) }]);
  await anvil.mine(300);
  await anvil.sendEth(alice, 5n * ETHER);
  const { hash } = await anvil.mine(300);

  for (const proxy of proxies) proxy.tellTruth();
  expect(await stepUntil(isAt(hash))).toBeLessThanOrEqual(LONGEST_PAUSE_MS + OWN_PAUSES_MS);
  const inWords = ({ status, amountBaseUnits }: Deposit) => `${status} ${amountBaseUnits / ETHER}`;
  const found = async () => {
    const listed = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 10 });
    return listed.map(({ deposit }) => inWords(deposit)).sort();
  };
  await waitFor(async () => (await found()).filter((each) => each.startsWith("unlocked")).length === 3);
  expect(await found()).toEqual(["orphaned 3", "unlocked 1", "unlocked 2", "unlocked 5"]);
});
