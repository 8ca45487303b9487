import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KnownAsset } from "../../core/asset.ts";
import { type Address, checksumAddress } from "../../core/hex.ts";
import { ingestBlocks } from "../../flow/ingest-block.ts";
import { settleDeposits } from "../../flow/settle-deposits.ts";
import { loadAddressWatch } from "../../flow/watch-addresses.ts";
import { systemRandom } from "../../runtime/random.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import {
  addressOf,
  assetOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  hashOf,
  seedChain,
  transferOf,
  USDT,
} from "../../testing/factory.ts";
import { balancesShape, depositDetailShape, depositShape, pageOf } from "../answers.ts";

const page = pageOf(depositShape, "DepositPage");

let db: TestDatabase;
let api: TestApi;

/** Alice: 1 ETH and 12.5 USDT in block 1, unlocked; Bob: 7 transfers in block 4, pending; a stranger's token for Bob. */
beforeAll(async () => {
  db = await createTestDatabase();
  const assets = await seedChain(db.database, [
    assetOf(),
    assetOf({ token: USDT, currency: "USDT", decimals: 6 }),
  ]);
  api = await createTestApi(db);
  for (const userId of ["alice", "bob"]) {
    await api.call("POST", "/v1/addresses", { body: { userId, address: addressOf(userId) } });
  }
  const bobs = Array.from({ length: 7 }, (_, index) =>
    transferOf({ to: addressOf("bob"), tx: `bob ${index}` }),
  );
  await ingest(assets, [
    blockWith(blockOf(1), [
      transferOf({ to: addressOf("alice"), tx: "eth" }),
      transferOf({
        to: addressOf("alice"),
        tx: "usdt",
        token: USDT,
        source: "log:0",
        amountBaseUnits: 12_500_000n,
      }),
    ]),
    ...[2, 3, 4, 5].map((number) => blockWith(blockOf(number))),
    blockWith(blockOf(6), [
      ...bobs,
      transferOf({ to: addressOf("bob"), tx: "fake", token: addressOf("fake"), source: "log:0" }),
    ]),
  ]);
  await settleDeposits(db.database, CHAIN_ID, new AbortController().signal);
});
afterAll(() => db.drop());

async function ingest(
  assets: readonly KnownAsset[],
  blocks: Parameters<typeof ingestBlocks>[2],
): Promise<void> {
  const context = {
    database: db.database,
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: "value" as const,
    ownWallets: new Set<Address>(),
    reorgWindow: 64,
    watch: await loadAddressWatch(db.database, systemRandom),
  };
  const start = { chainId: CHAIN_ID, number: 0n, hash: blockOf(0).hash, leaseToken: 0n };
  await ingestBlocks(context, start, blocks);
}

const list = async (query = "", key = api.key) =>
  page.parse((await api.call("GET", `/v1/deposits?${query}`, { key })).body);

describe("deposits", () => {
  test("are shown in the shape that callbacks have too", async () => {
    const { items } = await list(`txHash=${hashOf("tx usdt")}`);
    expect(items).toEqual([
      {
        id: expect.stringMatching(/^dep_[0-9a-z]{32}$/),
        sequence: 3,
        status: "unlocked",
        reason: null,
        merchantId: api.merchantId,
        userId: "alice",
        orderNo: null,
        chainId: CHAIN_ID,
        currency: "USDT",
        token: checksumAddress(USDT),
        decimals: 6,
        amount: "12.5",
        amountBaseUnits: "12500000",
        amountFrom: "event",
        eventAmount: null,
        eventAmountBaseUnits: null,
        balanceNodes: null,
        from: checksumAddress(addressOf("payer")),
        to: checksumAddress(addressOf("alice")),
        sender: checksumAddress(addressOf("payer")),
        txHash: hashOf("tx usdt"),
        source: "log:0",
        blockNumber: 1,
        blockHash: blockOf(1).hash,
        blockTime: new Date(blockOf(1).timestamp * 1000).toISOString(),
        verification: "none",
        confirmations: 6,
        creditAt: "3",
        unlockAt: "5",
        detectedAt: expect.any(String),
        creditedAt: expect.any(String),
        unlockedAt: expect.any(String),
        shortfall: null,
        shortfallBaseUnits: null,
      },
    ]);
  });

  test("are filtered by status, user, transaction and address", async () => {
    expect((await list("status=unlocked")).items).toHaveLength(2);
    expect((await list("status=pending&userId=bob")).items).toHaveLength(7);
    expect((await list("status=ignored")).items).toMatchObject([
      { reason: "unlisted_asset", currency: null, amount: null },
    ]);
    expect((await list("userId=alice&status=pending")).items).toEqual([]);
    expect((await list(`address=${checksumAddress(addressOf("bob"))}`)).items).toHaveLength(8);
    expect((await list(`txHash=${hashOf("tx none")}`)).items).toEqual([]);
  });

  test("come in pages that hold each once, newest first, however close they were seen", async () => {
    const all = (await list("limit=200")).items.map((deposit) => deposit.id);
    expect(all).toHaveLength(10);
    // Within one millisecond, as a busy chain has them: the time a cursor shows is not enough to tell them apart.
    await db.database.query(
      `UPDATE deposits d SET detected_at = '2026-01-01T00:00:00.123Z'::timestamptz + n * interval '1 microsecond'
       FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM deposits) o WHERE o.id = d.id`,
    );
    for (const limit of [1, 3, 10]) {
      const seen: string[] = [];
      for (let cursor: string | null = ""; cursor !== null; ) {
        const next = await list(`limit=${limit}${cursor === "" ? "" : `&cursor=${cursor}`}`);
        seen.push(...next.items.map((deposit) => deposit.id));
        cursor = next.nextCursor;
      }
      expect([...seen].sort()).toEqual([...all].sort());
    }
    expect((await list("limit=10")).nextCursor).toBeNull();
  });

  test("are nobody else's", async () => {
    const { key } = await api.addMerchant("Stranger");
    const [own] = (await list()).items;
    expect((await list("", key)).items).toEqual([]);
    expect(await api.call("GET", `/v1/deposits/${own?.id}`, { key })).toMatchObject({
      status: 404,
      body: { code: "not_found" },
    });
  });
});

describe("one deposit", () => {
  test("shows each status it had and how long each stage took", async () => {
    const [deposit] = (await list(`txHash=${hashOf("tx eth")}`)).items;
    const answer = await api.call("GET", `/v1/deposits/${deposit?.id}`);
    const detail = depositDetailShape.parse(answer.body);
    expect(detail).toMatchObject({ ...deposit });
    expect(
      detail.history.map(({ sequence, status, blockNumber }) => [sequence, status, blockNumber]),
    ).toEqual([
      [1, "pending", 1],
      [2, "credited", 1],
      [3, "unlocked", 1],
    ]);
    expect(detail.timing.blockToDetectedMs).toBe(
      Date.parse(detail.detectedAt) - Date.parse(detail.blockTime),
    );
    expect(detail.timing.creditedToUnlockedMs).toBeGreaterThanOrEqual(0);
  });

  test.each(["dep_unknown", "x".repeat(64)])("is not found by the id %s", async (id) => {
    expect(await api.call("GET", `/v1/deposits/${id}`)).toMatchObject({
      status: 404,
      body: { code: "not_found" },
    });
  });
});

describe("balances", () => {
  test("show what is unlocked as available, per asset and per currency", async () => {
    const answer = await api.call("GET", "/v1/users/alice/balances");
    expect(balancesShape.parse(answer.body)).toEqual({
      userId: "alice",
      assets: [
        {
          chainId: CHAIN_ID,
          currency: "ETH",
          token: null,
          decimals: 18,
          available: "1",
          availableBaseUnits: "1000000000000000000",
          locked: "0",
          lockedBaseUnits: "0",
          owed: "0",
          owedBaseUnits: "0",
        },
        {
          chainId: CHAIN_ID,
          currency: "USDT",
          token: checksumAddress(USDT),
          decimals: 6,
          available: "12.5",
          availableBaseUnits: "12500000",
          locked: "0",
          lockedBaseUnits: "0",
          owed: "0",
          owedBaseUnits: "0",
        },
      ],
      currencies: [
        { currency: "ETH", available: "1", locked: "0", owed: "0" },
        { currency: "USDT", available: "12.5", locked: "0", owed: "0" },
      ],
    });
  });

  test("hold nothing that is pending, and nothing of another merchant's user of the same name", async () => {
    expect((await api.call("GET", "/v1/users/bob/balances")).body).toEqual({
      userId: "bob",
      assets: [],
      currencies: [],
    });
    const { key } = await api.addMerchant("Namesake");
    expect((await api.call("GET", "/v1/users/alice/balances", { key })).body).toMatchObject({ assets: [] });
  });
});
