/**
 * [tx] Registers an address, with what its `watchFrom` asks for.
 *
 * Gate → address → rescans up to the cursors of now. An ingest that committed before the gate was taken moved a
 * cursor that is read here; one that commits after it knows the address. So no block lies between the two.
 */
import type { Address } from "../core/hex.ts";
import { invalidWatchFrom, type WatchFrom } from "../core/watch-from.ts";
import type { Database, Sql } from "../db/database.ts";
import { type RegisteredAddress, registerAddressIn } from "../merchants/address-store.ts";
import { takeNextAddress } from "../merchants/extended-key-store.ts";
import {
  type AddressRescan,
  listRescans,
  type RescanWish,
  requestRescans,
} from "../scanner/address-rescan-store.ts";
import { type ChainState, listChainStates, readTime } from "../scanner/chain-store.ts";

export interface WantedRegistration {
  readonly merchantId: string;
  readonly userId: string;
  /** Left out: the user's own of the merchant's extended public key. */
  readonly address?: Address | undefined;
  readonly watchFrom?: WatchFrom | undefined;
}

export interface Registration extends RegisteredAddress {
  readonly rescans: readonly AddressRescan[];
}

/**
 * @param chainIds those that are followed
 * @throws {InputError} `address_taken`, `address_required`, or `invalid_watch_from` for a chain that is not followed, or what lies in the
 * future; nothing is registered then
 */
export function registerAddressFrom(
  database: Database,
  wanted: WantedRegistration,
  chainIds: readonly number[],
): Promise<Registration> {
  return database.transaction(async (tx) => {
    const registered = await register(tx, wanted);
    if (wanted.watchFrom !== undefined) {
      const wishes = await wishesOf(tx, wanted.watchFrom, chainIds);
      await requestRescans(tx, registered.address, wishes);
    }
    return { ...registered, rescans: await listRescans(tx, registered.address) };
  });
}

function register(tx: Sql, { address, merchantId, userId }: WantedRegistration): Promise<RegisteredAddress> {
  return address === undefined
    ? takeNextAddress(tx, { merchantId, userId, orderNo: null })
    : registerAddressIn(tx, { address, merchantId, userId });
}

async function wishesOf(tx: Sql, watchFrom: WatchFrom, chainIds: readonly number[]): Promise<RescanWish[]> {
  if ("time" in watchFrom) {
    const { time } = watchFrom;
    if (time > (await readTime(tx))) throw invalidWatchFrom("lies in the future");
    return chainIds.map((chainId) => ({ chainId, from: { time } }));
  }
  const states = new Map((await listChainStates(tx)).map((state) => [state.chainId, state]));
  return watchFrom.blocks.map(({ chainId, block }) => {
    const state = states.get(chainId);
    if (state === undefined || !chainIds.includes(chainId))
      throw invalidWatchFrom(`names chain ${chainId}, which is not followed`);
    expectReached(state, BigInt(block));
    return { chainId, from: { block: BigInt(block) } };
  });
}

/** Of a chain that was never looked at nobody knows how far it is. */
function expectReached({ chainId, headNumber, cursorNumber }: ChainState, block: bigint): void {
  const head = [headNumber, cursorNumber].reduce((a, b) => (a === null || (b !== null && b > a) ? b : a));
  if (head !== null && block > head)
    throw invalidWatchFrom(`lies in the future: chain ${chainId} is at block ${head}`);
}
