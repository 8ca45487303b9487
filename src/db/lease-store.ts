/**
 * The lease of a chain: the right to follow it until a time. All times are the database's, so that daemons with
 * different clocks agree, and a frozen one that wakes late finds its token outlived.
 *
 * The token rises with each new holder. Whoever writes under a lease compares it in the same transaction: a lease
 * alone cannot stop a holder that does not know yet that it lost it.
 */
import type { Sql } from "./database.ts";

// clock_timestamp() and not now(): an update that waited for a lock looks again, and then now() would still be
// the time before the wait.

/** Takes the lease if nobody holds it, or its time is over. Answers the new token, or `null`: it is taken. */
export async function acquireLease(
  sql: Sql,
  chainId: number,
  holder: string,
  leaseMs: number,
): Promise<bigint | null> {
  const rows = await sql.query<{ lease_token: bigint }>(
    `UPDATE chains
     SET lease_holder = $2, lease_until = clock_timestamp() + $3 * interval '1 millisecond', lease_token = lease_token + 1
     WHERE chain_id = $1 AND (lease_until IS NULL OR lease_until <= clock_timestamp())
     RETURNING lease_token`,
    [chainId, holder, leaseMs],
  );
  return rows[0]?.lease_token ?? null;
}

/**
 * Holds the lease for `leaseMs` more from now. Also when its time is over, as long as nobody took it since.
 * `false`: it is somebody else's now, or was released; stop writing at once.
 */
export async function renewLease(
  sql: Sql,
  chainId: number,
  token: bigint,
  leaseMs: number,
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE chains SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
     WHERE chain_id = $1 AND lease_token = $2 AND lease_holder IS NOT NULL
     RETURNING chain_id`,
    [chainId, token, leaseMs],
  );
  return rows.length > 0;
}

/** Gives the lease back, so that the next one need not wait for its time. `false`: it is not ours any more. */
export async function releaseLease(sql: Sql, chainId: number, token: bigint): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE chains SET lease_holder = NULL, lease_until = NULL WHERE chain_id = $1 AND lease_token = $2
     RETURNING chain_id`,
    [chainId, token],
  );
  return rows.length > 0;
}
