/**
 * The follower's own picture of its chain: the cursor and the kept block refs. It mirrors what the database
 * holds and is read from there anew whenever anything went wrong, so it can be stale but never authoritative:
 * every write says which cursor it starts from.
 */
import type { BlockHeader } from "../core/chain.ts";
import type { Hash } from "../core/hex.ts";
import type { Database } from "../db/database.ts";
import { listBlockRefs } from "../scanner/block-ref-store.ts";
import type { CursorClaim } from "../scanner/cursor-store.ts";
import type { EffectiveTags } from "./effective-tags.ts";

export interface LocalChain {
  readonly chainId: number;
  readonly leaseToken: bigint;
  /** The block at the cursor. */
  cursor(): BlockHeader;
  /** The block that stands at a number on our branch, if its ref is still kept. */
  at(number: bigint): BlockHeader | undefined;
  /** The lowest number whose ref is kept: no reorg can be undone across it. */
  lowest(): bigint;
  /** Where the next write must find the cursor. */
  claim(): CursorClaim;
  /** What was noted of the head last; `undefined` before the first time. */
  noted(): NotedHead | undefined;
  note(head: NotedHead): void;
  append(blocks: readonly BlockHeader[]): void;
  /** Goes on at a block far above; what lies between is not kept. */
  jumpTo(block: BlockHeader): void;
  rewindTo(ancestor: BlockHeader): void;
}

export interface NotedHead {
  readonly headHash: Hash;
  readonly cursorHash: Hash;
  readonly tags: EffectiveTags;
  /** By the monotonic clock. */
  readonly at: number;
}

/** @returns `undefined` when the chain was never followed before. */
export async function loadLocalChain(
  database: Database,
  chainId: number,
  leaseToken: bigint,
  reorgWindow: number,
): Promise<LocalChain | undefined> {
  const refs = await listBlockRefs(database, chainId);
  return refs.length === 0 ? undefined : createLocalChain(chainId, leaseToken, reorgWindow, refs);
}

function createLocalChain(
  chainId: number,
  leaseToken: bigint,
  reorgWindow: number,
  kept: readonly BlockHeader[],
): LocalChain {
  let refs = [...kept];
  let noted: NotedHead | undefined;
  const cursor = () => {
    const last = refs.at(-1);
    if (last === undefined) throw new RangeError(`The local chain ${chainId} has no block`);
    return last;
  };
  const lowest = () => (refs[0] ?? cursor()).number;
  return {
    chainId,
    leaseToken,
    cursor,
    lowest,
    at: (number) => refs[Number(number - lowest())],
    claim: () => ({ chainId, leaseToken, number: cursor().number, hash: cursor().hash }),
    noted: () => noted,
    note: (head) => {
      noted = head;
    },
    append: (blocks) => {
      refs = [...refs, ...blocks].slice(-reorgWindow);
    },
    jumpTo: (block) => {
      refs = [block];
    },
    rewindTo: (ancestor) => {
      refs = refs.filter((ref) => ref.number <= ancestor.number);
    },
  };
}
