/** Deposits written as rows, for tests of what the database itself does with them. */
import type { Sql } from "../db/database.ts";
import { addressOf, CHAIN_ID, hashOf, MERCHANT_ID } from "./factory.ts";

/** A pending one of the chain's first asset, due for its credit at block 3 and for its unlock at block 5. */
export async function insertDepositRow(sql: Sql, id: string): Promise<void> {
  await sql.query(
    `INSERT INTO deposits (id, chain_id, tx_hash, source, merchant_id, user_id, asset_id, amount, from_address,
       to_address, status, block_number, block_hash, block_time, credit_block, unlock_block)
     SELECT $1, $2, decode(substr($3, 3), 'hex'), 'value', $4, 'alice', min(id), 1, decode(substr($5, 3), 'hex'),
       decode(substr($5, 3), 'hex'), 'pending', 1, decode(substr($3, 3), 'hex'), now(), 3, 5
     FROM assets WHERE chain_id = $2`,
    [id, CHAIN_ID, hashOf(id), MERCHANT_ID, addressOf("alice")],
  );
}
