/** Two chains in one process: one a million blocks behind, whose node answers at once, and one at its head. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";
import { UNVERIFIED } from "../core/verification.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { FetchedBlock, FetchedTransaction } from "../rpc/fetched-block.ts";
import { systemClock } from "../runtime/clock.ts";
import { getChainState } from "../scanner/chain-store.ts";
import type { TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, CHAIN_ID, hashOf, MERCHANT_ID } from "../testing/factory.ts";
import { type FollowerOptions, startFollower } from "../testing/follower.ts";
import { createMerchantDatabase } from "../testing/merchant-database.ts";
import { testNodes } from "../testing/nodes.ts";
import { testChain } from "../testing/test-chain.ts";
import { waitFor } from "../testing/wait-for.ts";

const alice = addressOf("alice");
const NOWHERE = "http://127.0.0.1:1";
const FAR_ID = 99_999;
const FAR_HEAD = 1_000_000n;
/** To strangers, in each block. */
const FAR_PAYMENTS = 100;
const HEAD_BLOCKS = 20;
/** Of the far chain, between two blocks of the other. */
const BATCHES_BETWEEN = 3;
/** A look at the head is some ten turns at the database, and so is a batch: 6 were seen at most. */
const MOST_BATCHES = 25;
/** 60 were seen, most of them to make up a batch. */
const LONGEST_TURN_MS = 600;

let test: TestDatabase;
let stops: (() => Promise<void>)[];
beforeEach(async () => {
  stops = [];
  test = await createMerchantDatabase("alice");
});
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()));
  await test.drop();
});

/** Every block of the chain `id` up to a head that may grow; all of them are there as fast as they are asked for. */
function readyNodes(id: number, headNumber: () => bigint, paid: readonly Address[]): ChainNodes {
  const headerAt = (number: bigint): BlockHeader => ({
    number,
    hash: hashOf(`${id} ${number}`),
    parentHash: hashOf(`${id} ${number - 1n}`),
    timestamp: 1_700_000_000 + Number(number),
  });
  const blockAt = (number: bigint): FetchedBlock => {
    const transactions = paid.map(
      (to, index): FetchedTransaction => ({
        hash: `0x${(number * 1_000n + BigInt(index)).toString(16).padStart(64, "0")}`,
        from: addressOf("payer"),
        to,
        value: "0xde0b6b3a7640000",
      }),
    );
    const receipts = transactions.map(({ hash }) => ({
      transactionHash: hash,
      status: "0x1" as const,
      contractAddress: null,
      logs: [],
    }));
    const header = headerAt(number);
    return { header, verification: UNVERIFIED, transactions, receipts, withdrawals: [], traces: null };
  };
  const nodes = testNodes([NOWHERE], { chainId: id });
  const head = async () => headerAt(headNumber());
  const questions = {
    head,
    tag: head,
    headerByNumber: async (number: bigint) => headerAt(number),
    blockByNumber: async (number: bigint) => blockAt(number),
    blockByHash: async () => blockAt(headNumber()),
  };
  return { ...nodes, ...questions, backfill: { ...nodes.backfill, ...questions } };
}

async function follow(id: number, options: Omit<FollowerOptions, "chain">): Promise<void> {
  const chain = testChain([NOWHERE], {
    id,
    pollIntervalMs: 10,
    verification: "none",
    assets: [assetOf({ chainId: id })],
  });
  const follower = await startFollower(test, { chain, ...options });
  stops.push(follower.stop);
}

const farNodes = () =>
  readyNodes(
    FAR_ID,
    () => FAR_HEAD,
    Array.from({ length: FAR_PAYMENTS }, (_, index) => addressOf(`stranger ${index}`)),
  );

/** The most processor time that passed while no timer had its turn: time that others took does not count. */
function watchTurns(): { longestMs(): number; stop(): Promise<void> } {
  const stopping = new AbortController();
  let longestMs = 0;
  const watching = (async () => {
    for (let before = process.cpuUsage(); !stopping.signal.aborted; before = process.cpuUsage()) {
      await systemClock.sleep(1, stopping.signal);
      const { user, system } = process.cpuUsage(before);
      longestMs = Math.max(longestMs, (user + system) / 1_000);
    }
  })();
  return {
    longestMs: () => longestMs,
    stop: async () => {
      stopping.abort();
      await watching;
    },
  };
}

describe("a chain far behind", { timeout: 180_000 }, () => {
  it("H8: a million blocks behind does not starve another chain at its head", async () => {
    let farBatches = 0;
    let largestBatch = 0;
    let headNumber = 0n;
    let toldAt = 0;
    const waits: number[] = [];
    await follow(FAR_ID, {
      nodes: farNodes(),
      onIngested: ({ blockCount }) => {
        farBatches++;
        largestBatch = Math.max(largestBatch, blockCount);
      },
    });
    await follow(CHAIN_ID, {
      nodes: readyNodes(CHAIN_ID, () => headNumber, [alice]),
      onIngested: () => void waits.push(farBatches - toldAt),
    });
    const turns = watchTurns();
    stops.push(turns.stop);
    for (let block = 1; block <= HEAD_BLOCKS; block++) {
      const from = farBatches;
      await waitFor(() => farBatches >= from + BATCHES_BETWEEN, { timeoutMs: 60_000, what: "the far chain" });
      toldAt = farBatches;
      headNumber += 1n;
      // It is over, too, when the far chain went on and on meanwhile.
      await waitFor(() => waits.length === block || farBatches > toldAt + MOST_BATCHES, {
        timeoutMs: 60_000,
        what: `block ${block}`,
      });
      expect(waits, `batches of the far chain until block ${block}`).toHaveLength(block);
    }
    expect(Math.max(...waits)).toBeLessThanOrEqual(MOST_BATCHES);
    expect(largestBatch).toBe(100);
    expect(turns.longestMs()).toBeLessThan(LONGEST_TURN_MS);
    expect((await getChainState(test.database, FAR_ID)).cursorNumber).toBeLessThan(FAR_HEAD);
    const found = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 2 * HEAD_BLOCKS });
    expect(found).toHaveLength(HEAD_BLOCKS);
  });

  it("H8: tells how far it is, and lets the other know its head meanwhile", async () => {
    const seen: number[] = [];
    await follow(FAR_ID, {
      nodes: farNodes(),
      onCatchUp: ({ done, total }) => {
        expect(total).toBe(Number(FAR_HEAD));
        seen.push(done);
      },
    });
    await waitFor(() => seen.length > 5, { timeoutMs: 60_000 });
    const state = await getChainState(test.database, FAR_ID);
    expect(state).toMatchObject({ headNumber: FAR_HEAD, behindFrom: 0n, behindSince: expect.any(Date) });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });
});
