/** The HTTP API over a chain that lists ETH and USDT, and another that lists ETH: for orders. */
import { expect } from "vitest";
import type { z } from "zod";
import { payerPages } from "../checkout/payer-pages.ts";
import type { KnownAsset } from "../core/asset.ts";
import { registerAssets } from "../deposits/asset-store.ts";
import { answeredOrderShape } from "../http/answers.ts";
import { silentLogger } from "../runtime/logger.ts";
import { registerChain } from "../scanner/chain-store.ts";
import { startCursor } from "../scanner/cursor-store.ts";
import { type ApiAnswer, type ApiCall, createTestApi, type TestApi } from "./api.ts";
import type { TestDatabase } from "./database.ts";
import { addressOf, assetOf, blockOf, CHAIN_ID, USDT } from "./factory.ts";
import { createIngestedChain, type IngestedChain } from "./ingested-chain.ts";

export const OTHER_CHAIN = 5;

export interface OrderApi {
  readonly api: TestApi;
  /** `CHAIN_ID`, at block 0. */
  readonly chain: IngestedChain;
  /** Of both chains. */
  readonly assets: readonly KnownAsset[];
  /** What the config in force lists; a test may change it. */
  assetsOf: (chainId: number) => readonly KnownAsset[];
  /** 12.5 USDT, on an address that is always this order's. @param given over that */
  open(orderNo: string, given?: object, call?: ApiCall): Promise<ApiAnswer>;
  /** The same for one that is new. */
  opened(orderNo: string, given?: object): Promise<z.infer<typeof answeredOrderShape>>;
}

export async function createOrderApi(db: TestDatabase): Promise<OrderApi> {
  const chain = await createIngestedChain(db.database);
  await registerChain(db.database, OTHER_CHAIN, "other");
  await startCursor(db.database, OTHER_CHAIN, 0n, [blockOf(0)]);
  const assets = await registerAssets(db.database, [
    assetOf(),
    assetOf({ token: USDT, currency: "USDT", decimals: 6, minimumBaseUnits: 1_000_000n }),
    assetOf({ token: addressOf("twice 1"), currency: "TWICE" }),
    assetOf({ token: addressOf("twice 2"), currency: "TWICE", decimals: 2 }),
    assetOf({ chainId: OTHER_CHAIN }),
  ]);
  const parts: Pick<OrderApi, "assetsOf"> = {
    assetsOf: (chainId) => assets.filter((asset) => asset.chainId === chainId),
  };
  const assetsOf = (chainId: number) => parts.assetsOf(chainId);
  const api = await createTestApi(db, {
    chainIds: [CHAIN_ID, OTHER_CHAIN],
    assetsOf,
    pages: payerPages({ database: db.database, logger: silentLogger, assetsOf }),
  });
  const open: OrderApi["open"] = (orderNo, given = {}, call = {}) => {
    const order = { chainId: CHAIN_ID, currency: "USDT", amount: "12.5" };
    const body = { ...order, orderNo, address: addressOf(`order ${orderNo}`), ...given };
    return api.call("POST", "/v1/orders", { body, ...call });
  };
  const opened: OrderApi["opened"] = async (orderNo, given) => {
    const answer = await open(orderNo, given);
    expect(answer.status).toBe(201);
    return answeredOrderShape.parse(answer.body);
  };
  return Object.assign(parts, { api, chain, assets, open, opened });
}
