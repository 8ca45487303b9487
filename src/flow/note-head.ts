/**
 * Keeps what the nodes say of head and tags, and wakes the settlers when a tag made deposits due. A look at a head
 * that is known already asks nothing and writes nothing, but for once in a while: finality may move by itself.
 */
import { type BlockHeader, FINALITY_TAGS, type FinalityTag } from "../core/chain.ts";
import { isAnyDepositDue } from "../deposits/deposit-store.ts";
import { getChainState, recordHead } from "../scanner/chain-store.ts";
import { readReached } from "../scanner/cursor-store.ts";
import { finalityMove } from "../scanner/finality-move.ts";
import { type EffectiveTags, effectiveTags } from "./effective-tags.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { LocalChain } from "./local-chain.ts";
import { keepVerification } from "./verification.ts";

const AGAIN_AFTER_MS = 5_000;

export async function noteHead(
  parts: FollowerParts,
  local: LocalChain,
  head: BlockHeader,
  signal: AbortSignal,
): Promise<void> {
  const { chain, database, clock } = parts;
  const last = local.noted();
  const cursor = local.cursor();
  const at = clock.monotonic();
  const isKnown = last?.headHash === head.hash && last.cursorHash === cursor.hash;
  if (isKnown && at - last.at < AGAIN_AFTER_MS) return;

  const tags = await effectiveTags(parts.nodes, local, signal);
  await keepVerification(database, parts.nodes, local.leaseToken);
  const before = last?.tags ?? (await getChainState(database, chain.id));
  await recordHead(database, chain.id, local.leaseToken, { headNumber: head.number, ...tags });
  const isNews = noteMoves(parts, before, tags);
  local.note({ headHash: head.hash, cursorHash: cursor.hash, tags, at });
  // Deposits that a depth made due were seen when their block was ingested.
  if (!isNews && last !== undefined) return;
  const reached = await readReached(database, chain.id);
  if (reached !== null && (await isAnyDepositDue(database, chain.id, reached)))
    await parts.wakers.settleNow(chain.id, cursor.number);
}

/** @returns whether a tag is another than before */
function noteMoves(
  { chain, logger, metrics }: FollowerParts,
  before: EffectiveTags,
  after: EffectiveTags,
): boolean {
  let isNews = false;
  for (const tag of FINALITY_TAGS) {
    const from = numberOf(before, tag);
    const to = numberOf(after, tag);
    const move = finalityMove(from, to);
    if (move !== "same") isNews = true;
    if (move !== "back" && move !== "gone") continue;
    metrics.onFinalityLost(chain.id, tag);
    const fields = { chain_id: chain.id, tag, from_number: from, to_number: to };
    if (move === "back") logger.warn("Finality went back", fields);
    else logger.warn("Finality is unknown again, or of another branch", fields);
  }
  return isNews;
}

function numberOf(tags: EffectiveTags, tag: FinalityTag): bigint | null {
  return tag === "safe" ? tags.safeNumber : tags.finalizedNumber;
}
