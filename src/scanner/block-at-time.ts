/** From a time to a block: a binary search over the blocks' own times, which never go back. */
import { TemporaryError } from "../core/errors.ts";

/** Asks for a block's own time, in seconds since 1970. */
export type TimestampOf = (number: bigint) => Promise<number>;

/**
 * The first block of `0` to `last` that is at `seconds` or later; `last + 1` when all are earlier. Some 25 questions
 * for twenty million blocks.
 *
 * @throws {TemporaryError} `node_answer_invalid` when a time does not lie between those of the blocks around it: to
 * believe it would be to overlook blocks
 */
export async function firstBlockAt(seconds: number, last: bigint, timestampOf: TimestampOf): Promise<bigint> {
  // Everything below `low` is earlier, everything from `high` on is not.
  let low = { number: 0n, timestamp: Number.NEGATIVE_INFINITY };
  let high = { number: last + 1n, timestamp: Number.POSITIVE_INFINITY };
  while (low.number < high.number) {
    const number = (low.number + high.number) / 2n;
    const timestamp = await timestampOf(number);
    if (timestamp < low.timestamp || timestamp > high.timestamp) {
      throw new TemporaryError("node_answer_invalid", "A block's time does not lie between its neighbours'", {
        blockNumber: number,
        timestamp,
      });
    }
    if (timestamp < seconds) low = { number: number + 1n, timestamp };
    else high = { number, timestamp };
  }
  return low.number;
}
