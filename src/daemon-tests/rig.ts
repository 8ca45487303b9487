/**
 * One chain, one database, one merchant and the daemon between them, each a real thing in a process or on a
 * server of its own. What is waited for is asked of the database, what is proved is asked of the API, of the
 * callbacks, of the books and of the chain.
 */
import { afterAll } from "vitest";
import { EVENT_TYPES, type EventType } from "../core/event.ts";
import { type Address, hexToBytes } from "../core/hex.ts";
import { type AnvilOptions, startAnvil } from "../testing/anvil.ts";
import { createDaemon, type Daemon } from "../testing/daemon.ts";
import type { DaemonApi, DepositView } from "../testing/daemon-api.ts";
import { chainOf, type DaemonChain, type DaemonConfig } from "../testing/daemon-config.ts";
import { killLeakedProcesses } from "../testing/daemon-process.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf } from "../testing/factory.ts";
import type { TestNode, TestToken } from "../testing/test-node.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectBooksToHold } from "./audit.ts";
import { type Receiver, startReceiver } from "./receiver.ts";

export interface RigOptions {
  /** `null`: BullMQ on PostgreSQL. */
  readonly redisUrl?: string | null;
  readonly anvil?: AnvilOptions;
  /** A node of another make in place of anvil. */
  readonly node?: () => Promise<TestNode>;
  /** Where the daemon finds the chain, if not at the node itself. */
  readonly nodeUrl?: (anvil: TestNode) => Promise<string>;
  /** The nodes of the daemon's config, if they are not the one node itself. */
  readonly nodes?: (anvil: TestNode) => Promise<DaemonChain["nodes"]>;
  /** Where the daemon finds the database, if not at the server itself. */
  readonly databaseUrl?: (url: string) => Promise<string>;
  /** Over the chain's part of the config. */
  readonly chain?: Readonly<Record<string, unknown>>;
  /** What the merchant is told of; all that befalls a deposit or an order, if it is not given. */
  readonly events?: readonly EventType[];
  /** Over the config's other parts. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface Rig {
  /** The chain's node, whatever its make. */
  readonly anvil: TestNode;
  /** A listed token with 6 decimals. */
  readonly token: TestToken;
  readonly test: TestDatabase;
  readonly daemon: Daemon;
  readonly api: DaemonApi;
  readonly receiver: Receiver;
  readonly config: DaemonConfig;
  /** Assigns an address over HTTP: a given one, or the one that always belongs to this user. */
  watch(userId: string, address?: Address): Promise<Address>;
  depositsOf(userId: string): Promise<DepositView[]>;
  /** `credited 5 ETH`, in the order of detection: for comparing at a glance. */
  summaryOf(userId: string): Promise<string[]>;
  /** Per token symbol or ETH: `[locked, available]` in base units. */
  balancesOf(userId: string): Promise<Record<string, [locked: bigint, available: bigint]>>;
  /** Waits until the cursor is where the node's head is. */
  caughtUp(timeoutMs?: number): Promise<void>;
  /** Waits until the cursor is at the head, the past is scanned, all that is due is settled, and all is told. */
  quiet(timeoutMs?: number): Promise<void>;
  /** Mines what is in the mempool and so many blocks on top that it is unlocked, and waits for all of it. */
  mineDeep(timeoutMs?: number): Promise<void>;
  /**
   * After a kill: what the dead daemon held runs out now instead of within a minute. It only makes tests shorter;
   * the passing of time would do the same.
   */
  expireHolds(): Promise<void>;
  /** Checks the books and every callback, and takes everything down. */
  stop(): Promise<void>;
}

export const CREDIT_DEPTH = 3;
export const UNLOCK_DEPTH = 5;

/** Registered at import, so it runs after the file's own hooks: whatever a file leaves behind fails it. */
afterAll(async () => {
  const leaked = await killLeakedProcesses();
  if (leaked > 0) throw new Error(`This file left ${leaked} daemon processes behind`);
});

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const [anvil, test, receiver] = await Promise.all([
    options.node?.() ?? startAnvil({ mining: "manual", ...options.anvil }),
    createTestDatabase(),
    startReceiver(),
  ]);
  const token = await anvil.deployToken();
  const config = await configOf(options, anvil, test, token);
  const daemon = await createDaemon(config);
  await daemon.start();
  const merchant = await daemon.createMerchant("Test");
  daemon.useKey(merchant.apiKey);
  const { api } = daemon;
  const endpoint = await api.createEndpoint(
    receiver.url,
    options.events ?? EVENT_TYPES.filter((type) => /^(deposit|order)\./.test(type)),
  );
  receiver.useSecret(endpoint.secret);

  const depositsOf = async (userId: string) => inOrder(await api.deposits({ userId }));
  const caughtUp = async (timeoutMs?: number) =>
    untilTrue(test, anvil, IS_CAUGHT_UP, "the cursor to reach the head", timeoutMs);
  const quiet = async (timeoutMs?: number) =>
    untilTrue(test, anvil, IS_QUIET, "all to be settled and told", timeoutMs);
  return {
    anvil,
    token,
    test,
    daemon,
    api,
    receiver,
    config,
    watch: async (userId, address = addressOf(`user ${userId}`)) => {
      await api.registerAddress(userId, address);
      return address;
    },
    depositsOf,
    summaryOf: async (userId) => (await depositsOf(userId)).map(summary),
    balancesOf: (userId) => balancesOf(api, userId),
    caughtUp,
    quiet,
    mineDeep: async (timeoutMs) => {
      await anvil.mine(UNLOCK_DEPTH);
      await quiet(timeoutMs);
    },
    expireHolds: async () => {
      await test.database.query("UPDATE chains SET lease_until = now() WHERE lease_until > now()");
      await test.database.query(
        "UPDATE due_deliveries SET claimed_until = now() WHERE claimed_until > now()",
      );
      await test.database.query("UPDATE screenings SET next_attempt_at = now() WHERE state = 'due'");
      await test.database.query(
        "UPDATE address_rescans SET claimed_until = now() WHERE claimed_until > now()",
      );
    },
    stop: async () => {
      try {
        await daemon.dispose();
        await expectBooksToHold(test.database);
      } finally {
        await Promise.all([receiver.close(), test.drop(), anvil.stop()]);
      }
    },
  };
}

async function configOf(
  options: RigOptions,
  anvil: TestNode,
  test: TestDatabase,
  token: TestToken,
): Promise<DaemonConfig> {
  const nodeUrl = await options.nodeUrl?.(anvil);
  const nodes = await options.nodes?.(anvil);
  const node = nodeUrl === undefined ? anvil : { chainId: anvil.chainId, url: nodeUrl };
  const tokens = [
    { currency: "USDT", address: token.address, decimals: token.decimals, minimum: "0.000001" },
  ];
  return {
    databaseUrl: (await options.databaseUrl?.(test.url)) ?? test.url,
    redisUrl: options.redisUrl ?? null,
    chains: [
      chainOf(
        node,
        { tokens },
        {
          confirmations: { credit: CREDIT_DEPTH, unlock: UNLOCK_DEPTH },
          ...(nodes === undefined ? {} : { nodes }),
          ...options.chain,
        },
      ),
    ],
    ...(options.config === undefined ? {} : { more: options.config }),
  };
}

const IS_CAUGHT_UP = "SELECT cursor_hash = $2 AS yes FROM chains WHERE chain_id = $1";

const IS_QUIET = `
  SELECT c.cursor_hash = $2
    AND NOT EXISTS (SELECT FROM deposits d WHERE d.chain_id = c.chain_id AND (
      (d.status = 'pending' AND (d.credit_block <= c.cursor_number OR d.measure_at IS NOT NULL))
      OR (d.status = 'credited' AND d.unlock_block <= c.cursor_number)))
    AND NOT EXISTS (SELECT FROM address_rescans r WHERE r.chain_id = c.chain_id AND r.state <> 'done')
    AND NOT EXISTS (SELECT FROM due_deliveries) AS yes
  FROM chains c WHERE c.chain_id = $1`;

async function untilTrue(
  test: TestDatabase,
  anvil: TestNode,
  query: string,
  what: string,
  timeoutMs = 45_000,
): Promise<void> {
  const isTrue = async () => {
    const { hash } = await anvil.head();
    const [row] = await test.database.query<{ yes: boolean | null }>(query, [
      anvil.chainId,
      hexToBytes(hash),
    ]);
    return row?.yes === true;
  };
  await waitFor(isTrue, { timeoutMs, what }).catch(async (cause: unknown) => {
    const { number } = await anvil.head();
    throw new Error(`${what}: the head is ${number}, and ${JSON.stringify(await unfinished(test))}`, {
      cause,
    });
  });
}

/** What is not done yet, for the message of a test that waited in vain. */
async function unfinished(test: TestDatabase): Promise<object[]> {
  return test.database.query<object>(
    `SELECT cursor_number::text, lease_holder, (lease_until - now())::text AS lease_left,
       (SELECT json_object_agg(status, number) FROM (
          SELECT status, count(*) AS number FROM deposits GROUP BY status) s) AS deposit_counts,
       (SELECT json_agg(json_build_object('status', status, 'block', block_number, 'credit', credit_block))
        FROM (SELECT * FROM deposits WHERE status IN ('pending', 'credited') LIMIT 5) d) AS deposits,
       (SELECT count(*)::integer FROM due_deliveries) AS delivery_count,
       (SELECT json_agg(json_build_object('attempt', attempt, 'due', (next_attempt_at - now())::text,
          'claimed', (claimed_until - now())::text))
        FROM (SELECT * FROM due_deliveries LIMIT 5) d) AS deliveries
     FROM chains`,
  );
}

function inOrder(deposits: readonly DepositView[]): DepositView[] {
  return [...deposits].sort(
    (a, b) => a.blockNumber - b.blockNumber || a.source.localeCompare(b.source, "en", { numeric: true }),
  );
}

function summary(deposit: DepositView): string {
  const what =
    deposit.amount === null ? `${deposit.amountBaseUnits} units` : `${deposit.amount} ${deposit.currency}`;
  return `${deposit.status} ${what}${deposit.reason === null ? "" : ` (${deposit.reason})`}`;
}

async function balancesOf(api: DaemonApi, userId: string): Promise<Record<string, [bigint, bigint]>> {
  const { assets } = await api.balances(userId);
  return Object.fromEntries(
    assets.map((asset) => [
      asset.currency,
      [BigInt(asset.lockedBaseUnits), BigInt(asset.availableBaseUnits)] as [bigint, bigint],
    ]),
  );
}
