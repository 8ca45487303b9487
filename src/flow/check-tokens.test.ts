import { encodeDeployData } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { createChainNodes } from "../rpc/chain-nodes.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogFields, type Logger, silentLogger } from "../runtime/logger.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { contractCode, tokenAbi } from "../testing/contracts.ts";
import { addressOf, assetOf, CHAIN_ID } from "../testing/factory.ts";
import { checkTokens } from "./check-tokens.ts";

let anvil: Anvil;
let token: Address;

beforeAll(async () => {
  anvil = await startAnvil();
  token = await anvil.deploy(
    encodeDeployData({
      abi: tokenAbi,
      bytecode: await contractCode("Token"),
      args: ["Tether", "USDT", 6],
    }),
  );
});
afterAll(() => anvil.stop());

async function check(address: Address, currency: string, decimals: number): Promise<[string, LogFields][]> {
  const log: [string, LogFields][] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (sentence, fields = {}) => void log.push([sentence, fields]),
  };
  const chain = {
    id: CHAIN_ID,
    nodes: [{ url: anvil.url, wsUrl: null, maxConcurrency: null }],
    internal: "none" as const,
    blockTimeMs: 1_000,
    verification: "auto" as const,
    assets: [assetOf(), assetOf({ token: address, currency, decimals })],
  };
  const nodes = createChainNodes({ chain, clock: systemClock, logger: silentLogger });
  try {
    const parts = { chain, nodes, logger } as unknown as Parameters<typeof checkTokens>[0];
    await checkTokens(parts, new AbortController().signal);
  } finally {
    await nodes.close();
  }
  return log;
}

describe("checking tokens before a chain is followed", () => {
  it("E3: refuses decimals that are not the contract's, with both numbers and where", async () => {
    await expect(check(token, "USDT", 18)).rejects.toMatchObject({
      code: "token_mismatch",
      retryable: false,
      facts: { contract: 6, config: 18 },
    });
  });

  it("E3: takes a token that is what the config says, and asks nothing of the native coin", async () => {
    expect(await check(token, "usdt", 6)).toEqual([]);
  });

  it("E3: only tells of another symbol, and of a contract that does not tell its decimals", async () => {
    expect(await check(token, "USDC", 6)).toMatchObject([
      ["A token's contract calls it by another name than the config", { currency: "USDC", symbol: "USDT" }],
    ]);
    expect(await check(addressOf("nothing"), "USDT", 6)).toMatchObject([
      ["A token's contract does not tell its decimals: the config's are believed", { currency: "USDT" }],
    ]);
  });
});
