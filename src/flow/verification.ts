/**
 * What a chain's blocks have proved outlives the process: a node that lies at the moment of a start finds the chain
 * held to what it reached before.
 */
import type { Sql } from "../db/database.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { getChainState, recordVerification } from "../scanner/chain-store.ts";

type Verified = Pick<ChainNodes, "chainId" | "verification">;

/** Tells the nodes what was known of their chain. Before the first block is asked for. */
export async function restoreVerification(sql: Sql, nodes: Verified): Promise<void> {
  const { verification, cursorNumber } = await getChainState(sql, nodes.chainId);
  nodes.verification.restore(verification, cursorNumber === null ? null : cursorNumber + 1n);
}

/** Writes down what is known by now, if that has changed since the last time. */
export async function keepVerification(sql: Sql, nodes: Verified, leaseToken: bigint): Promise<void> {
  const changed = nodes.verification.takeChange();
  if (changed !== null) await recordVerification(sql, nodes.chainId, leaseToken, changed);
}
