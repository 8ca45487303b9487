/** A real node, a real database with alice's address in it, and followers between the two. */
import { expect } from "vitest";
import type { Deposit } from "../core/deposit.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { listDepositHistory } from "../outbox/event-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { type ChainState, getChainState } from "../scanner/chain-store.ts";
import { type Anvil, type AnvilOptions, startAnvil } from "./anvil.ts";
import type { TestDatabase } from "./database.ts";
import { addressOf, MERCHANT_ID } from "./factory.ts";
import { type FollowerOptions, startFollower, type TestFollower } from "./follower.ts";
import { createMerchantDatabase } from "./merchant-database.ts";
import { testNodes } from "./nodes.ts";
import { testChain } from "./test-chain.ts";
import { waitFor } from "./wait-for.ts";

export interface FollowedChain {
  readonly anvil: Anvil;
  readonly test: TestDatabase;
  /** As followers that are started without another have it. */
  readonly chain: ChainConfig;
  /** Until it is stopped, or the chain is. */
  follow(options?: Partial<FollowerOptions>): Promise<TestFollower>;
  /** Nodes of the same chain for other questions; closed with it. */
  nodes(): ChainNodes;
  state(): Promise<ChainState>;
  cursorAt(number: bigint, hash?: string): Promise<unknown>;
  deposits(): Promise<Deposit[]>;
  /** @throws when there is not exactly one */
  onlyDeposit(): Promise<Deposit>;
  /** Waits until there are deposits, and every one has it. */
  statusIs(status: string): Promise<unknown>;
  /** What was told of a deposit, oldest first: `["pending", "orphaned"]`. */
  moves(id: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** A loaded machine takes its time. */
const PATIENCE = { timeoutMs: 60_000 };

export async function createFollowedChain(
  more: Partial<ChainConfig> = {},
  anvilOptions: AnvilOptions = {},
): Promise<FollowedChain> {
  const stops: (() => Promise<void>)[] = [];
  const [anvil, test] = await Promise.all([
    startAnvil({ mining: "manual", ...anvilOptions }),
    createMerchantDatabase("alice"),
  ]);
  const chain = testChain([{ url: anvil.url, wsUrl: anvil.wsUrl, maxConcurrency: null }], more);
  const state = () => getChainState(test.database, chain.id);
  const deposits = async () =>
    (await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 100 })).map((each) => each.deposit);
  return {
    anvil,
    test,
    chain,
    follow: async (options = {}) => {
      const follower = await startFollower(test, { chain, ...options });
      stops.push(follower.stop);
      return follower;
    },
    nodes: () => {
      const nodes = testNodes(chain.nodes);
      stops.push(nodes.close);
      return nodes;
    },
    state,
    cursorAt: (number, hash) =>
      waitFor(
        async () => {
          const { cursorNumber, cursorHash } = await state();
          return cursorNumber === number && (hash === undefined || cursorHash === hash);
        },
        { ...PATIENCE, what: `the cursor at ${number}` },
      ),
    deposits,
    onlyDeposit: async () => {
      const all = await deposits();
      expect(all).toHaveLength(1);
      return all[0] as Deposit;
    },
    statusIs: (status) =>
      waitFor(
        async () => {
          const all = await deposits();
          return all.length > 0 && all.every((each) => each.status === status);
        },
        { ...PATIENCE, what: `all to be ${status}` },
      ),
    moves: async (id) => (await listDepositHistory(test.database, id)).map(({ type }) => type.slice(8)),
    stop: async () => {
      for (const stop of stops.reverse()) await stop();
      await test.drop();
      await anvil.stop();
    },
  };
}

export const alice = addressOf("alice");
