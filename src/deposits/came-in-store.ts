/** What deposits say came in, by address and asset: what a balance on the chain is compared with. */
import { type Address, bytesToHex } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";

export interface CameIn {
  readonly address: Address;
  readonly assetId: number;
  /** Of all deposits that stand in a block, whatever became of them: ignored ones arrived too. */
  readonly amountBaseUnits: bigint;
  /** Of those that are in the ledger. */
  readonly creditedBaseUnits: bigint;
}

/** What an address sends to itself stands as a deposit, and brings nothing. */
const SUMS = `
  SELECT to_address, asset_id, sum(amount)::text AS amount,
    coalesce(sum(amount) FILTER (WHERE status IN ('credited', 'unlocked')), 0)::text AS credited
  FROM deposits
  WHERE chain_id = $1 AND block_number <= $2 AND asset_id IS NOT NULL AND from_address <> to_address
    AND status NOT IN ('orphaned', 'reversed')`;

interface Row {
  to_address: Buffer;
  asset_id: number;
  amount: string;
  credited: string;
}

/** Of some addresses, by chance. */
export async function sampleCameIn(
  sql: Sql,
  chainId: number,
  upTo: bigint,
  limit: number,
): Promise<CameIn[]> {
  const rows = await sql.query<Row>(
    `SELECT * FROM (${SUMS} GROUP BY to_address, asset_id) s ORDER BY random() LIMIT $3`,
    [chainId, upTo, limit],
  );
  return rows.map(toCameIn);
}

/** Of all addresses, in their order: so many at once, each with all of its assets. */
export async function* pageCameIn(
  sql: Sql,
  chainId: number,
  upTo: bigint,
  addressesPerPage = 1_000,
): AsyncGenerator<CameIn[], void, undefined> {
  for (let after = Buffer.alloc(0); ; ) {
    const page = await sql.query<{ address: Buffer }>(
      "SELECT DISTINCT to_address AS address FROM deposits WHERE to_address > $1 ORDER BY 1 LIMIT $2",
      [after, addressesPerPage],
    );
    const last = page.at(-1);
    if (last === undefined) return;
    const rows = await sql.query<Row>(
      `${SUMS} AND to_address = ANY ($3) GROUP BY to_address, asset_id ORDER BY to_address, asset_id`,
      [chainId, upTo, page.map(({ address }) => address)],
    );
    yield rows.map(toCameIn);
    after = Buffer.from(last.address);
  }
}

function toCameIn(row: Row): CameIn {
  return {
    address: bytesToHex(row.to_address),
    assetId: row.asset_id,
    amountBaseUnits: BigInt(row.amount),
    creditedBaseUnits: BigInt(row.credited),
  };
}
