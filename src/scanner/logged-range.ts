/**
 * Finds, by logs over a range, the blocks that are worth fetching whole. Ranges shrink until the nodes give them,
 * down to a single block, and are never skipped.
 */
import { lowerOf } from "../core/block-number.ts";
import type { BlockHeader } from "../core/chain.ts";
import { DepositdError, TemporaryError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { BackfillQuestions } from "../rpc/chain-nodes.ts";
import type { LoggedBlock } from "../rpc/fetch-logs.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import { fetchEach } from "./fetch-ahead.ts";
import type { RangeSize } from "./range-size.ts";

export interface LogFilter {
  readonly tokens: readonly Address[];
  readonly recipients: readonly Address[];
}

export type LoggedRange<Taken> =
  | {
      readonly kind: "found";
      readonly from: bigint;
      /** The block at the end of the range. */
      readonly end: BlockHeader;
      /** What was taken of each block with a log, rising. */
      readonly taken: readonly Taken[];
      /** Blocks that one of two nodes did not name. */
      readonly disputed: readonly LoggedBlock[];
    }
  /** Logs do not lead on here: read whole blocks. */
  | { readonly kind: "given_up"; readonly reason: string };

export interface LoggedRangeParts<Taken> {
  readonly nodes: Pick<BackfillQuestions, "logs" | "blockByNumber">;
  readonly size: RangeSize;
  /** How many nodes must have told the logs of a range. */
  readonly witnesses: number;
  readonly concurrency: number;
  readonly take: (block: FetchedBlock) => Taken;
  readonly signal?: AbortSignal;
}

/** One range is one transaction, and what is in it is held in memory. */
const MAX_BLOCKS_PER_RANGE = 200;

/**
 * @param to included; the range ends there or before
 * @throws {TemporaryError} as the nodes do; `node_answer_invalid` when a block is not the one that the logs named
 */
export async function findLoggedRange<Taken>(
  parts: LoggedRangeParts<Taken>,
  filter: LogFilter,
  from: bigint,
  to: bigint,
): Promise<LoggedRange<Taken>> {
  const { nodes, size, witnesses, signal } = parts;
  for (;;) {
    const sized = from + BigInt(size.current()) - 1n;
    const end = lowerOf(sized, to);
    const answer = await askShrinkable(nodes, { ...filter, from, to: end }, signal);
    const isTooMuch = answer.kind === "too_much" || answer.blocks.length > MAX_BLOCKS_PER_RANGE;
    if (isTooMuch && end > from) {
      size.shrink();
      continue;
    }
    if (answer.kind === "too_much") return { kind: "given_up", reason: answer.reason };
    if (answer.witnesses < witnesses) return { kind: "given_up", reason: "only one node tells its logs" };
    if (sized <= to) size.grow();
    return {
      kind: "found",
      from,
      end: answer.end,
      disputed: answer.disputed,
      taken: await fetchNamed(parts, answer.blocks),
    };
  }
}

/** Words of a refusal that nobody has told us of yet are one too, as long as there is something to shrink. */
async function askShrinkable(
  nodes: Pick<BackfillQuestions, "logs">,
  query: Parameters<BackfillQuestions["logs"]>[0],
  signal?: AbortSignal,
) {
  try {
    return await nodes.logs(query, signal);
  } catch (rawError) {
    if (!(rawError instanceof DepositdError)) throw rawError;
    const isUnknown =
      rawError.code === "node_error" && rawError.facts["isPruned"] !== true && query.from < query.to;
    if (!isUnknown && rawError.code !== "node_range_refused") throw rawError;
    return { kind: "too_much", reason: rawError.message } as const;
  }
}

/** Whole blocks, by number, so that each is of the branch that the node is on; and each must be the one named. */
export async function fetchNamed<Taken>(
  { nodes, concurrency, take, signal }: LoggedRangeParts<Taken>,
  blocks: readonly LoggedBlock[],
): Promise<Taken[]> {
  const numbers = blocks.map(({ number }) => number);
  const options = { concurrency, ...(signal === undefined ? {} : { signal }) };
  const fetched = fetchEach(nodes, numbers, options, (block) => ({
    header: block.header,
    taken: take(block),
  }));
  const taken: Taken[] = [];
  for await (const each of fetched) {
    const named = blocks[taken.length];
    if (named?.hash !== each.header.hash) {
      throw new TemporaryError("node_answer_invalid", "A block is not the one that its logs named", {
        number: each.header.number,
        hash: each.header.hash,
        namedHash: named?.hash,
      });
    }
    taken.push(each.taken);
  }
  return taken;
}
