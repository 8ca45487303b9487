/**
 * A head far above the last one that was believed is a claim. It is believed when the node has the blocks below it,
 * each the parent of the next: a number alone, or a block that is nowhere, must not be shown as the chain's head.
 */
import type { BlockHeader } from "../core/chain.ts";
import { AnswerRefused } from "./answer.ts";
import { blockNumberParameter, checkHeader } from "./check-block.ts";
import type { Ask } from "./json-rpc.ts";

/** Fewer are what a chain does between two looks; the catching up checks each of them anyway. */
const FAR = 64n;
/** Walked by hash. A branch of its own that somebody made up for this long is seen when its blocks are ingested. */
const PARENTS = 8;

/** @throws {AnswerRefused} */
export async function confirmHead(
  ask: Ask,
  header: BlockHeader,
  believed: BlockHeader | null,
  signal?: AbortSignal,
): Promise<void> {
  if (believed !== null && header.number <= believed.number + FAR) return;
  await expectBlock(ask, header, header.number, signal);
  let child = header;
  for (let step = 0; step < PARENTS && child.number > 0n; step++) {
    child = await expectBlock(ask, { hash: child.parentHash }, child.number - 1n, signal);
  }
  if (believed !== null) await expectNumber(ask, believed.number + 1n, signal);
}

async function expectBlock(
  ask: Ask,
  { hash }: Pick<BlockHeader, "hash">,
  number: bigint,
  signal?: AbortSignal,
): Promise<BlockHeader> {
  const answer = await ask("eth_getBlockByHash", [hash, false], signal);
  if (answer === null) throw new AnswerRefused("The head's own blocks are not there", { hash, number });
  const header = checkHeader(answer, { hash });
  if (header.number === number) return header;
  throw new AnswerRefused("The head's own blocks do not count down", {
    hash,
    number: header.number,
    expected: number,
  });
}

async function expectNumber(ask: Ask, number: bigint, signal?: AbortSignal): Promise<void> {
  const answer = await ask("eth_getBlockByNumber", [blockNumberParameter(number), false], signal);
  if (answer === null)
    throw new AnswerRefused("There is no block where the head's chain must pass", { number });
  checkHeader(answer, { number });
}
