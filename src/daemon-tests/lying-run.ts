/**
 * The daemon on two nodes that lie independently of each other in every way of section C, while deposits of every
 * kind come in and real branches compete. At the end both tell the truth, and the ledger must equal the chain.
 */

import { encodeFunctionData } from "viem";
import { expect } from "vitest";
import type { Address } from "../core/hex.ts";
import { systemClock } from "../runtime/clock.ts";
import { startAnvil } from "../testing/anvil.ts";
import { contractCode, tokenAbi } from "../testing/contracts.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import { type Liar, startLiar } from "./liar.ts";
import { type Rig, startRig } from "./rig.ts";
import { type PayingContracts, seeded, startTraffic } from "./traffic.ts";

export interface LyingRunOptions {
  readonly seed: number;
  readonly seconds: number;
}

export interface LyingRunOutcome {
  readonly deposits: number;
  readonly blocks: number;
  /** How often each way was told. */
  readonly told: Readonly<Record<string, number>>;
}

/** After its time the run goes on for so long at most, until every way was told. */
const EVERY_WAY_MS = 240_000;
const NODES = 2;
const USERS = 8;
const OTHER_CHAIN = 4242;
/** What was put off while the nodes lied is done within this. */
const RECOVERY_MS = 180_000;

export async function runAmongLies({ seed, seconds }: LyingRunOptions): Promise<LyingRunOutcome> {
  const proxies: NodeProxy[] = [];
  const otherChain = await startAnvil({ chainId: OTHER_CHAIN });
  await otherChain.mine(50);
  const rig = await startRig({
    nodes: async (anvil) => {
      for (let index = 0; index < NODES; index++) proxies.push(await startNodeProxy(anvil.url));
      return proxies.map(({ url, wsUrl }) => ({ url, ws: wsUrl }));
    },
    chain: { native: { currency: "ETH", decimals: 18, minimum: "0.001", internal: "trace" } },
  });
  try {
    const contracts = await deployContracts(rig);
    const users = await watchUsers(rig);
    const random = seeded(seed);
    const liars = proxies.map((proxy, index) =>
      startLiar({
        proxy,
        random: seeded(seed + 1 + index),
        upstreamUrl: rig.anvil.url,
        otherChainUrl: otherChain.url,
        victim: users["user-0"] as Address,
        token: rig.token.address,
        longestLieMs: 1_500,
        longestTruthMs: 1_000,
      }),
    );
    const traffic = startTraffic(rig, {
      users: Object.values(users),
      random,
      pauseMs: 150,
      reorgShare: 0.15,
      contracts,
    });
    await sleepAndVerify(rig, seconds);
    await waitFor(() => untold(liars).length === 0, { timeoutMs: EVERY_WAY_MS }).catch(() => {
      throw new Error(`Nobody heard ${untold(liars).join(", ")}`);
    });
    await traffic.stop();
    for (const liar of liars) await liar.stop();
    rig.receiver.callbacks();
    expect(rig.daemon.process().isRunning()).toBe(true);
    await rig.mineDeep(RECOVERY_MS);
    await expectAgreement(rig, users, { innerCalls: true });
    return {
      deposits: Number(
        (await rig.test.database.query<{ count: bigint }>("SELECT count(*) FROM deposits"))[0]?.count,
      ),
      blocks: Number((await rig.anvil.head()).number),
      told: addUp(liars),
    };
  } finally {
    for (const proxy of proxies) proxy.tellTruth();
    await rig.stop();
    await Promise.all([...proxies.map((proxy) => proxy.stop()), otherChain.stop()]);
  }
}

/** Callbacks are verified as they come: after five minutes their timestamps are refused as too old. */
async function sleepAndVerify(rig: Rig, seconds: number): Promise<void> {
  const until = systemClock.monotonic() + seconds * 1_000;
  while (systemClock.monotonic() < until) {
    await systemClock.sleep(Math.min(1_000, until - systemClock.monotonic()));
    rig.receiver.callbacks();
  }
}

async function deployContracts(rig: Rig): Promise<PayingContracts> {
  const batcher = await rig.anvil.deploy(await contractCode("Batcher"));
  const forwarder = await rig.anvil.deploy(await contractCode("Forwarder"));
  await rig.anvil.send({
    to: rig.token.address,
    data: encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 10n ** 29n] }),
  });
  await rig.anvil.mine();
  return { batcher, forwarder };
}

async function watchUsers(rig: Rig): Promise<Record<string, Address>> {
  const users: Record<string, Address> = {};
  for (let index = 0; index < USERS; index++) {
    users[`user-${index}`] = await rig.watch(`user-${index}`);
  }
  return users;
}

function untold(liars: readonly Liar[]): string[] {
  const told = addUp(liars);
  return (liars[0]?.ways ?? []).filter((way) => told[way] === undefined);
}

function addUp(liars: readonly Liar[]): Record<string, number> {
  const told: Record<string, number> = {};
  for (const liar of liars) {
    for (const [way, times] of liar.told) told[way] = (told[way] ?? 0) + times;
  }
  return told;
}
