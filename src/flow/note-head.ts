/** Keeps what the nodes say of head and tags, and wakes the settlers when a tag made deposits due. */
import type { BlockHeader } from "../core/chain.ts";
import { isAnyDepositDue } from "../deposits/deposit-store.ts";
import { readReached, recordHead } from "../scanner/chain-store.ts";
import { effectiveTags } from "./effective-tags.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { LocalChain } from "./local-chain.ts";
import { keepVerification } from "./verification.ts";

export async function noteHead(
  parts: FollowerParts,
  local: LocalChain,
  head: BlockHeader,
  signal: AbortSignal,
): Promise<void> {
  const { chain, database } = parts;
  const tags = await effectiveTags(parts.nodes, local, signal);
  await keepVerification(database, parts.nodes, local.leaseToken);
  await recordHead(database, chain.id, local.leaseToken, { headNumber: head.number, ...tags });
  const reached = await readReached(database, chain.id);
  if (reached !== null && (await isAnyDepositDue(database, chain.id, reached))) {
    await parts.wakers.settleNow(chain.id, local.cursor().number);
  }
}
