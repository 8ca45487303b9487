/** `watchFrom` on a real node and a real database: the past of an address, found once. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WatchFrom } from "../core/watch-from.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { type ChainNodes, createChainNodes } from "../rpc/chain-nodes.ts";
import { systemClock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { countLiveRescans, listRescans } from "../scanner/address-rescan-store.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import type { TestDatabase } from "../testing/database.ts";
import { addressOf, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { createMerchantDatabase } from "../testing/merchant-database.ts";
import { testChain } from "../testing/test-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { followChain } from "./follow-chain.ts";
import type { FollowerParts } from "./follower-parts.ts";
import { ingestContextOf } from "./ingest-context.ts";
import { registerAddressFrom } from "./register-address.ts";
import { registerChains } from "./register-chains.ts";
import { type AddressRescanParts, rescanAddresses, scanStretch } from "./rescan-addresses.ts";
import { loadAddressWatch } from "./watch-addresses.ts";

const ETHER = 10n ** 18n;
const SECONDS_PER_BLOCK = 12;

let test: TestDatabase;
let anvil: Anvil;
let chain: ChainConfig;
let nodes: ChainNodes;
let stops: (() => Promise<void>)[];

beforeEach(async () => {
  stops = [];
  anvil = await startAnvil({ mining: "manual", args: ["--timestamp", "1700000000"] });
  test = await createMerchantDatabase();
  chain = testChain([anvil.url], { reorgWindow: 8 });
  nodes = createChainNodes({ chain, clock: systemClock, logger: silentLogger });
});
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  await nodes.close();
  await test.drop();
  await anvil.stop();
});

async function partsOf(holder: string): Promise<AddressRescanParts> {
  const { database } = test;
  const { assets } = await registerChains(database, [chain], silentLogger);
  const watch = await loadAddressWatch(database, systemRandom);
  return {
    database,
    chain,
    nodes: nodes.backfill,
    ingest: ingestContextOf(database, chain, () => assets.get(chain.id) ?? [], watch),
    wakers: {
      settleAt: async () => undefined,
      settleNow: async () => undefined,
      deliver: async () => undefined,
      deliverAt: async () => undefined,
    },
    clock: systemClock,
    logger: silentLogger,
    holder,
    leaseMs: 60_000,
    sweepIntervalMs: 20,
    onScanned: () => undefined,
  };
}

/** Brings the cursor to the head, and stops. */
async function ingestAll(): Promise<void> {
  const parts: FollowerParts = {
    ...(await partsOf("follower")),
    nodes,
    leaseMs: 1_500,
    metrics: {
      onIngested: () => undefined,
      onReorg: () => undefined,
      onShortfall: () => undefined,
      onFinalityLost: () => undefined,
    },
  };
  const { hash } = await anvil.head();
  const stopping = new AbortController();
  const following = followChain(parts, stopping.signal);
  await waitFor(async () => (await getChainState(test.database, CHAIN_ID)).cursorHash === hash);
  stopping.abort();
  await following;
}

/** Works until nothing is left. */
async function scanAll(holder = "worker", changes: Partial<AddressRescanParts> = {}): Promise<void> {
  const parts = { ...(await partsOf(holder)), ...changes };
  const claim = { chainId: CHAIN_ID, holder, leaseMs: parts.leaseMs };
  while (await scanStretch(parts, claim, new AbortController().signal));
}

const register = (name: string, watchFrom?: WatchFrom, merchantId = MERCHANT_ID) =>
  registerAddressFrom(test.database, { address: addressOf(name), merchantId, userId: name, watchFrom }, [
    CHAIN_ID,
  ]);
const fromBlock = (block: number): WatchFrom => ({ blocks: [{ chainId: CHAIN_ID, block }] });
const found = async () => {
  const rows = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 1_000 });
  return rows.map(({ deposit }) => `${deposit.userId} ${deposit.blockNumber}`).sort();
};
const rescanOf = async (name: string) => (await listRescans(test.database, addressOf(name)))[0];

/** One ether to each name in the block of its place, blocks twelve seconds apart. Answers block 1's own time. */
async function mineDeposits(names: readonly (string | null)[]): Promise<number> {
  const start = (await anvil.head()).timestamp + 100;
  for (const [index, name] of names.entries()) {
    if (name !== null) await anvil.sendEth(addressOf(name), ETHER);
    await anvil.request("evm_setNextBlockTimestamp", [start + index * SECONDS_PER_BLOCK]);
    await anvil.mine();
  }
  return start;
}

describe("watchFrom", () => {
  it("D13: finds the deposits from a block on, those and no earlier ones, each once", async () => {
    await mineDeposits(["late", "late", null, "late", "other"]);
    await ingestAll();
    expect((await register("late", fromBlock(2))).rescans).toMatchObject([
      { chainId: CHAIN_ID, state: "due", from: 2n, next: 2n, to: 5n },
    ]);
    await scanAll();
    expect(await found()).toEqual(["late 2", "late 4"]);
    expect(await rescanOf("late")).toMatchObject({ state: "done", from: 2n, next: 6n, to: 5n });
    await register("late", fromBlock(2));
    expect(await rescanOf("late")).toMatchObject({ state: "done" });
    expect(await countLiveRescans(test.database)).toEqual([]);
  });

  it("D13: finds the deposits from a time on: the block at that time is the first", async () => {
    const start = await mineDeposits(["late", "late", "late", null]);
    await ingestAll();
    const time = new Date((start + SECONDS_PER_BLOCK) * 1000);
    await register("late", { time });
    expect(await rescanOf("late")).toMatchObject({ from: null, fromTime: time, isTimeOpen: true });
    await scanAll();
    expect(await found()).toEqual(["late 2", "late 3"]);
    expect(await rescanOf("late")).toMatchObject({ state: "done", from: 2n, fromTime: time });
  });

  it("begins at the next block for a time between two, and at the first for one before the chain", async () => {
    const start = await mineDeposits(["late", "early"]);
    await ingestAll();
    await register("late", { time: new Date(start * 1000 + 1) });
    await register("early", { time: new Date(Date.UTC(2016, 0)) });
    await scanAll();
    expect(await found()).toEqual(["early 2"]);
    expect(await rescanOf("late")).toMatchObject({ from: 2n });
    expect(await rescanOf("early")).toMatchObject({ from: 0n, state: "done" });
  });

  it("looks further back when it is asked for earlier, by block or by time, and not for later", async () => {
    const start = await mineDeposits(["late", "late", "late"]);
    await ingestAll();
    await register("late", fromBlock(3));
    await scanAll();
    expect(await found()).toEqual(["late 3"]);
    await register("late", { time: new Date((start + SECONDS_PER_BLOCK) * 1000) });
    await scanAll();
    expect(await found()).toEqual(["late 2", "late 3"]);
    await register("late", fromBlock(3));
    expect(await rescanOf("late")).toMatchObject({ state: "done", from: 2n });
    await register("late", fromBlock(0));
    await scanAll();
    expect(await found()).toEqual(["late 1", "late 2", "late 3"]);
    expect(await rescanOf("late")).toMatchObject({ state: "done", from: 0n, to: 3n });
  });

  it("is refused for what lies in the future and for a chain that is not followed; nothing is registered", async () => {
    await mineDeposits([null]);
    await ingestAll();
    const refused = expect.objectContaining({ code: "invalid_watch_from" });
    await expect(register("late", fromBlock(2))).rejects.toEqual(refused);
    await expect(register("late", { time: new Date(Date.now() + 60_000) })).rejects.toEqual(refused);
    await expect(register("late", { blocks: [{ chainId: 5, block: 0 }] })).rejects.toEqual(refused);
    expect(await test.database.query("SELECT 1 FROM watched_addresses")).toEqual([]);
    await expect(register("late", fromBlock(1))).resolves.toMatchObject({ isNew: true });
  });

  it("is refused for an address of somebody else's, whose rescan stays as it was", async () => {
    await mineDeposits(["late"]);
    await ingestAll();
    await register("late", fromBlock(1));
    await test.database.query("INSERT INTO merchants (id, name) VALUES ('mer_other', 'Other')");
    await expect(register("late", fromBlock(0), "mer_other")).rejects.toMatchObject({
      code: "address_taken",
    });
    expect(await rescanOf("late")).toMatchObject({ from: 1n });
  });

  it("waits for a chain that has no cursor yet, and ends where its cursor then is", async () => {
    await partsOf("only the chain's row");
    await mineDeposits(["late"]);
    await register("late", fromBlock(0));
    await scanAll();
    expect(await rescanOf("late")).toMatchObject({ state: "due", to: null });
    chain = { ...chain, startBlock: 2n };
    await anvil.mine();
    await ingestAll();
    await scanAll();
    expect(await found()).toEqual(["late 1"]);
  });
});

describe("the worker of rescans", () => {
  it("D13: goes on where a batch was committed when it dies in the middle, and finds each deposit once", async () => {
    await mineDeposits(["late", null, "late"]);
    await anvil.mine(150);
    await anvil.sendEth(addressOf("late"), ETHER);
    await anvil.mine(2);
    await ingestAll();
    await register("late", fromBlock(0));
    const asked: bigint[] = [];
    const dying: AddressRescanParts["nodes"] = {
      ...nodes.backfill,
      blockByNumber: (number, signal) => {
        asked.push(number);
        if (number === 120n && asked.length < 200) throw new Error("It was killed");
        return nodes.backfill.blockByNumber(number, signal);
      },
    };
    await expect(scanAll("first", { nodes: dying })).rejects.toThrow("It was killed");
    expect(await found()).toEqual(["late 1", "late 3"]);
    expect(await rescanOf("late")).toMatchObject({ state: "running", next: 100n });

    // The dead worker's claim stands for its time.
    await scanAll("second");
    expect(await rescanOf("late")).toMatchObject({ state: "running", next: 100n });
    await test.database.query("UPDATE address_rescans SET claimed_until = now() WHERE state <> 'done'");
    asked.length = 0;
    const counting: AddressRescanParts["nodes"] = {
      ...nodes.backfill,
      blockByNumber: (number, signal) => {
        asked.push(number);
        return nodes.backfill.blockByNumber(number, signal);
      },
    };
    await scanAll("second", { nodes: counting });
    expect(asked[0]).toBe(100n);
    expect(await found()).toEqual(["late 1", "late 154", "late 3"]);
    expect(await rescanOf("late")).toMatchObject({ state: "done" });
  });

  it("scans the past once for many addresses, each from its own first block", async () => {
    const names = Array.from({ length: 20 }, (_, n) => `user-${n}`);
    await mineDeposits([...names, ...names]);
    await ingestAll();
    for (const [index, name] of names.entries()) await register(name, fromBlock(index + 2));
    const asked: bigint[] = [];
    const counting: AddressRescanParts["nodes"] = {
      ...nodes.backfill,
      blockByNumber: (number, signal) => {
        asked.push(number);
        return nodes.backfill.blockByNumber(number, signal);
      },
    };
    await scanAll("worker", { nodes: counting });
    expect(asked).toHaveLength(39); // blocks 2 to 40
    // The first deposit of each lies one block before its watchFrom.
    expect(await found()).toEqual(names.map((name, index) => `${name} ${index + 21}`).sort());
  });

  it("keeps no progress for a rescan that was extended while it scanned", async () => {
    await mineDeposits(["late", null, null, "late"]);
    await ingestAll();
    await register("late", fromBlock(3));
    const extending: AddressRescanParts["nodes"] = {
      ...nodes.backfill,
      blockByNumber: async (number, signal) => {
        if (number === 4n) await register("late", fromBlock(0));
        return nodes.backfill.blockByNumber(number, signal);
      },
    };
    await scanAll("worker", { nodes: extending });
    expect(await found()).toEqual(["late 1", "late 4"]);
    expect(await rescanOf("late")).toMatchObject({ state: "done", from: 0n });
  });

  it("ends what a reorg took from under it, because the follower finds it on the new branch", async () => {
    const point = await anvil.forkPoint();
    const payment = await anvil.sign({ to: addressOf("late"), valueWei: ETHER });
    await anvil.mineBranch(point, [{}, { transactions: [payment] }]);
    await ingestAll();
    await register("late", fromBlock(1));
    await anvil.mineBranch(point, [{}, {}, { transactions: [payment] }]);
    await ingestAll();
    await scanAll();
    expect(await found()).toEqual(["late 3"]);
    expect(await rescanOf("late")).toMatchObject({ state: "done" });
  });

  it("ends one whose next block lies above the cursor: the follower is still to ingest it", async () => {
    await mineDeposits([null, null, null]);
    await ingestAll();
    await register("late", fromBlock(1));
    await test.database.query("UPDATE address_rescans SET next_number = 6, to_number = 8");
    await scanAll();
    expect(await rescanOf("late")).toMatchObject({ state: "done" });
  });

  it("gives back what it holds when it is told to stop", async () => {
    await mineDeposits(["late"]);
    await ingestAll();
    await register("late", fromBlock(0));
    const stop = new AbortController();
    const hanging: AddressRescanParts["nodes"] = {
      ...nodes.backfill,
      blockByNumber: (_number, signal) => {
        stop.abort();
        return new Promise((_, reject) => {
          const refuse = () => reject(new Error("It was stopped"));
          if (signal?.aborted === true) refuse();
          else signal?.addEventListener("abort", refuse);
        });
      },
    };
    await rescanAddresses({ ...(await partsOf("worker")), nodes: hanging }, stop.signal);
    await scanAll("another");
    expect(await found()).toEqual(["late 1"]);
  });
});
