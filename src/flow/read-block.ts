/**
 * Reads one block for somebody who wants of it what moved to the addresses of a table, and so proves no other
 * transaction's hash and keeps no other transfer. Most blocks have none that is wanted.
 */
import type { BlockHeader, NativeSource } from "../core/chain.ts";
import type { Hash } from "../core/hex.ts";
import type { BlockVerification } from "../core/verification.ts";
import type { AddressLook } from "../matcher/address-table.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import { mayConcern } from "../matcher/may-concern.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import type { ChainQuestions } from "../rpc/node.ts";
import { type PackedTransfers, packTransfers } from "./pack-transfers.ts";

export interface BlockReading {
  readonly nodes: Pick<ChainQuestions, "blockByNumber">;
  readonly nativeSource: NativeSource;
  /** With traces, which say more than transactions and receipts do, all is proved and kept. */
  readonly internal: "trace" | "none";
  /** May grow meanwhile. */
  readonly table: AddressLook;
}

export interface ReadBlock {
  readonly header: BlockHeader;
  readonly verification: BlockVerification;
  readonly transfers: PackedTransfers;
}

export async function readBlock(
  { nodes, nativeSource, internal, table }: BlockReading,
  number: bigint,
  signal: AbortSignal,
): Promise<ReadBlock> {
  // Before the first look: what is added while it lasts may be seen or not.
  const looked = table.size;
  const isNameWanted = internal === "trace" ? undefined : mayConcern.bind(null, table);
  const block = await nodes.blockByNumber(number, signal, isNameWanted);
  const { transfers } = extractTransfers(block, nativeSource);
  const names = provedNames(block);
  const packed = packTransfers(transfers, {
    isKept: ({ txHash }) => txHash === null || names === null || names.has(txHash),
    looked,
  });
  return { header: block.header, verification: block.verification, transfers: packed };
}

/** Hashes that no transaction has but those whose hash was proved; `null`: every transaction's was. */
function provedNames({ named, transactions }: FetchedBlock): ReadonlySet<Hash> | null {
  if (named === undefined) return null;
  const names = new Set<Hash>();
  if (named.size === 0) return names;
  for (const [place, { hash }] of transactions.entries()) if (named.has(place)) names.add(hash);
  // Told a second time, of a transaction whose hash was not looked at.
  for (const [place, { hash }] of transactions.entries()) if (!named.has(place)) names.delete(hash);
  return names;
}
