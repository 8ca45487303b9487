/** The kept block refs of each chain: the canonical local chain, as deep as a reorg may be undone. */
import type { BlockHeader } from "../core/chain.ts";
import { bytesToHex, hexToBytes } from "../core/hex.ts";
import type { Verification } from "../core/verification.ts";
import type { Sql } from "../db/database.ts";

/** A block ref to be kept; `null` where nothing but the header was looked at. */
export interface NewBlockRef extends BlockHeader {
  readonly verification: Verification | null;
}

export async function insertBlockRefs(
  tx: Sql,
  chainId: number,
  blocks: readonly NewBlockRef[],
): Promise<void> {
  await tx.query(
    `INSERT INTO block_refs (chain_id, number, hash, parent_hash, block_time, verification)
     SELECT $1, b.number, b.hash, b.parent_hash, to_timestamp(b.time), b.verification
     FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::float8[], $6::text[])
       AS b(number, hash, parent_hash, time, verification)`,
    [
      chainId,
      blocks.map((block) => block.number),
      blocks.map((block) => hexToBytes(block.hash)),
      blocks.map((block) => hexToBytes(block.parentHash)),
      blocks.map((block) => block.timestamp),
      blocks.map((block) => block.verification),
    ],
  );
}

/** Forgets block refs at or below a number: no reorg can be undone across them any more. */
export async function deleteBlockRefsUpTo(tx: Sql, chainId: number, number: bigint): Promise<void> {
  await tx.query("DELETE FROM block_refs WHERE chain_id = $1 AND number <= $2", [chainId, number]);
}

/** Forgets the block refs of a branch that was left. */
export async function deleteBlockRefsAbove(tx: Sql, chainId: number, number: bigint): Promise<void> {
  await tx.query("DELETE FROM block_refs WHERE chain_id = $1 AND number > $2", [chainId, number]);
}

/** The canonical local chain, oldest first. */
export async function listBlockRefs(sql: Sql, chainId: number): Promise<BlockHeader[]> {
  const rows = await sql.query<{ number: bigint; hash: Buffer; parent_hash: Buffer; block_time: Date }>(
    "SELECT number, hash, parent_hash, block_time FROM block_refs WHERE chain_id = $1 ORDER BY number",
    [chainId],
  );
  return rows.map((row) => ({
    number: row.number,
    hash: bytesToHex(row.hash),
    parentHash: bytesToHex(row.parent_hash),
    timestamp: Math.floor(row.block_time.getTime() / 1000),
  }));
}
