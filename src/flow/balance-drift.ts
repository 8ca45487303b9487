/**
 * Reads only: compares what addresses hold on the chain with what their deposits say came in, at one block.
 *
 *   drift = balance after that block − all that came in up to it
 *
 * Nobody tells here what went out, so drift is no fault by itself: `docs/operations.md` says what is normal.
 */
import type { KnownAsset } from "../core/asset.ts";
import type { BlockHeader } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { Database } from "../db/database.ts";
import { type CameIn, pageCameIn, sampleCameIn } from "../deposits/came-in-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { listBlockRefs } from "../scanner/block-ref-store.ts";

export interface DriftParts {
  readonly database: Database;
  readonly chainId: number;
  readonly assets: readonly KnownAsset[];
  readonly nodes: Pick<ChainNodes, "balance"> & {
    readonly backfill: Pick<ChainNodes["backfill"], "headerByNumber">;
  };
  readonly signal?: AbortSignal;
}

export interface Drift {
  readonly address: Address;
  readonly currency: string;
  readonly token: Address | null;
  readonly decimals: number;
  readonly chainBaseUnits: bigint;
  readonly cameInBaseUnits: bigint;
  /** Of what came in, what is in the ledger. */
  readonly creditedBaseUnits: bigint;
  /** Above zero: the address holds more than ever came in, as far as is known here. */
  readonly driftBaseUnits: bigint;
}

export interface DriftFindings {
  readonly chainId: number;
  readonly block: BlockHeader;
  /** Pairs of an address and an asset. */
  readonly looked: number;
  readonly even: number;
  readonly moreCount: number;
  readonly lessCount: number;
  /** Balances that no node told, with the reason of the first. */
  readonly untoldCount: number;
  readonly untoldReason: string | null;
  /** The first of those that hold more, then of those that hold less. */
  readonly drifts: readonly Drift[];
}

/** Of each kind; an operator with a million swept addresses wants the numbers, not the list. */
const SHOWN_DRIFTS = 1_000;
const BALANCES_AT_ONCE = 8;

/**
 * @param blockNumber a block that no reorg will reach while this runs
 * @param sample how many addresses, by chance; `null`: all
 * @throws {TemporaryError} `node_answer_invalid` when the node has no such block, or another than was ingested
 */
export async function findDrift(
  parts: DriftParts,
  blockNumber: bigint,
  sample: number | null,
  onLooked: (count: number) => void = () => undefined,
): Promise<DriftFindings> {
  const { database, chainId } = parts;
  const block = await findBlock(parts, blockNumber);
  const counts = { looked: 0, even: 0, untoldCount: 0, untoldReason: null as string | null };
  const [more, less]: [Drift[], Drift[]] = [[], []];
  const kinds = { moreCount: 0, lessCount: 0 };
  const note = (found: Drift | string) => {
    counts.looked += 1;
    onLooked(counts.looked);
    if (typeof found === "string") {
      counts.untoldCount += 1;
      counts.untoldReason ??= found;
    } else if (found.driftBaseUnits === 0n) counts.even += 1;
    else {
      const isMore = found.driftBaseUnits > 0n;
      kinds[isMore ? "moreCount" : "lessCount"] += 1;
      const shown = isMore ? more : less;
      if (shown.length < SHOWN_DRIFTS) shown.push(found);
    }
  };
  const pages =
    sample === null
      ? pageCameIn(database, chainId, blockNumber)
      : [await sampleCameIn(database, chainId, blockNumber, sample)];
  for await (const page of pages) await lookAt(parts, block, page, note);
  return { chainId, block, ...counts, ...kinds, drifts: [...more, ...less] };
}

async function findBlock(
  { database, chainId, nodes, signal }: DriftParts,
  blockNumber: bigint,
): Promise<BlockHeader> {
  const block = await nodes.backfill.headerByNumber(blockNumber, signal);
  const kept = (await listBlockRefs(database, chainId)).find(({ number }) => number === blockNumber);
  if (block !== null && (kept === undefined || kept.hash === block.hash)) return block;
  throw new TemporaryError("node_answer_invalid", "The node is on another branch than the cursor", {
    chainId,
    blockNumber,
  });
}

async function lookAt(
  { assets, nodes, signal }: DriftParts,
  block: BlockHeader,
  page: readonly CameIn[],
  note: (found: Drift | string) => void,
): Promise<void> {
  const waiting = page.values();
  const work = async () => {
    for (const { address, assetId, amountBaseUnits, creditedBaseUnits } of waiting) {
      const asset = assets.find(({ id }) => id === assetId);
      if (asset === undefined) continue; // no longer listed
      const { token, currency, decimals } = asset;
      const told = await nodes.balance({ token, holder: address, block }, 1, signal);
      if (told.kind === "untold") {
        note(told.reason);
        continue;
      }
      note({
        address,
        currency,
        token,
        decimals,
        chainBaseUnits: told.amountBaseUnits,
        cameInBaseUnits: amountBaseUnits,
        creditedBaseUnits,
        driftBaseUnits: told.amountBaseUnits - amountBaseUnits,
      });
    }
  };
  await Promise.all(Array.from({ length: BALANCES_AT_ONCE }, work));
}
