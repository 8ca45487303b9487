/** What reconciliation compares the chain with. */
import { type Address, bytesToHex, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";

export interface ChainDepositRow {
  readonly txHash: string | null;
  readonly source: string;
  readonly to: Address;
  /** As the chain's blocks tell it, whatever counts of it. */
  readonly amountBaseUnits: bigint;
  /** Kept and never credited: no money of anybody's. */
  readonly isIgnored: boolean;
}

/** Deposits that count as being in a block, by id. */
export async function listStandingDeposits(
  sql: Sql,
  chainId: number,
  blockNumber: bigint,
): Promise<Map<string, ChainDepositRow>> {
  const rows = await sql.query<{
    id: string;
    tx_hash: Buffer | null;
    source: string;
    to_address: Buffer;
    amount: string;
    ignored: boolean;
  }>(
    `SELECT id, tx_hash, source, to_address, coalesce(event_amount, amount)::text AS amount, status = 'ignored' AS ignored FROM deposits
     WHERE chain_id = $1 AND block_number = $2 AND status NOT IN ('orphaned', 'reversed')`,
    [chainId, blockNumber],
  );
  return new Map(
    rows.map((row) => [
      row.id,
      {
        txHash: row.tx_hash === null ? null : bytesToHex(row.tx_hash),
        source: row.source,
        to: bytesToHex(row.to_address),
        amountBaseUnits: BigInt(row.amount),
        isIgnored: row.ignored,
      },
    ]),
  );
}

/** Of these addresses the watched ones, and whether each was registered before a block's time or later. */
export async function listOwnersOf(
  sql: Sql,
  addresses: readonly Address[],
  blockTime: number,
): Promise<Map<Address, "before" | "later">> {
  if (addresses.length === 0) return new Map();
  const rows = await sql.query<{ address: Buffer; before: boolean }>(
    `SELECT address, created_at < to_timestamp($2) AS before FROM watched_addresses
     WHERE address = ANY ($1::bytea[])`,
    [[...new Set(addresses)].map(hexToBytes), blockTime],
  );
  return new Map(rows.map((row) => [bytesToHex(row.address), row.before ? "before" : "later"]));
}

/** Blocks up to a number that hold deposits of a chain. */
export async function listBlocksWithDeposits(
  sql: Sql,
  chainId: number,
  upTo: bigint,
  limit: number,
): Promise<bigint[]> {
  const rows = await sql.query<{ block_number: bigint }>(
    `SELECT block_number FROM (
       SELECT DISTINCT block_number FROM deposits
       WHERE chain_id = $1 AND block_number <= $2 AND status NOT IN ('orphaned', 'reversed', 'ignored')
     ) b ORDER BY random() LIMIT $3`,
    [chainId, upTo, limit],
  );
  return rows.map((row) => row.block_number);
}

/** The first block with a deposit; where "all" begins. */
export async function firstBlockWithDeposits(sql: Sql, chainId: number): Promise<bigint | null> {
  const [row] = await sql.query<{ first: bigint | null }>(
    "SELECT min(block_number) AS first FROM deposits WHERE chain_id = $1",
    [chainId],
  );
  return row?.first ?? null;
}
