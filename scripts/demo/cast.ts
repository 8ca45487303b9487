/** Who and what plays a part: users with their addresses, the assets, the contracts on the demo's chain. */
import { encodeFunctionData, maxUint256, parseUnits } from "viem";
import { mnemonicToAccount } from "viem/accounts";
import type { Address } from "../../src/core/hex.ts";
import type { Anvil } from "../../src/testing/anvil.ts";
import { contractCode, tokenAbi } from "../../src/testing/contracts.ts";

export const USERS = ["alice", "bob", "carol", "dave", "erin", "frank"] as const;
export type User = (typeof USERS)[number];

export interface AssetPart {
  readonly currency: string;
  readonly decimals: number;
  /** Less than this is not credited. */
  readonly minimum: string;
}

export const ETH: AssetPart = { currency: "ETH", decimals: 18, minimum: "0.001" };
export const USDT: AssetPart = { currency: "USDT", decimals: 6, minimum: "1" };
export const ASSETS = [ETH, USDT] as const;

/** Confirmations for ETH and for USDT up to the limit; more USDT waits longer. */
export const POLICY = { credit: 3, unlock: 6, largeFrom: "1000", largeCredit: 6 } as const;

/** `safe` and `finalized` are one and two epochs behind the head. */
export const SLOTS_IN_AN_EPOCH = 4;

export interface Cast {
  readonly addressOf: Readonly<Record<User, Address>>;
  readonly usdt: Address;
  /** Another contract that calls itself USDT too. */
  readonly lookAlike: Address;
  /** Pays many in one transaction; coins move in inner calls of it. */
  readonly batcher: Address;
}

// Nobody signs for these here: users only receive. (Not anvil's own accounts, which pay.)
const USER_MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/** Deploys the contracts; dave's address is one of them, as some exchanges' deposit addresses are. */
export async function gatherCast(anvil: Anvil): Promise<Cast> {
  const usdt = await anvil.deployToken({ symbol: USDT.currency, decimals: USDT.decimals });
  const lookAlike = await anvil.deployToken({ symbol: USDT.currency, decimals: USDT.decimals });
  const batcher = await anvil.deploy(await contractCode("Batcher"));
  const wallet = await anvil.deploy(await contractCode("Forwarder"));
  await approveAll(anvil, usdt.address, batcher);
  const ownAddress = (index: number) => mnemonicToAccount(USER_MNEMONIC, { addressIndex: index }).address;
  const addresses = USERS.map((user, index) => [user, user === "dave" ? wallet : ownAddress(index)]);
  return {
    addressOf: Object.fromEntries(addresses) as Record<User, Address>,
    usdt: usdt.address,
    lookAlike: lookAlike.address,
    batcher,
  };
}

/** The batcher takes tokens from whoever calls it. */
async function approveAll(anvil: Anvil, token: Address, spender: Address): Promise<void> {
  const data = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [spender, maxUint256] });
  for (const from of anvil.accounts) await anvil.send({ from, to: token, data });
  await anvil.mine();
}

export function baseUnits(asset: AssetPart, amount: string): bigint {
  return parseUnits(amount, asset.decimals);
}
