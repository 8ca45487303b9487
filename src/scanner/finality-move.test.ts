import { expect, it } from "vitest";
import { type FinalityMove, finalityMove } from "./finality-move.ts";

it.each<[bigint | null, bigint | null, FinalityMove]>([
  [10n, 10n, "same"],
  [null, null, "same"],
  [null, 10n, "on"],
  [10n, 11n, "on"],
  [10n, 9n, "back"],
  [10n, null, "gone"],
])("B10: finality from %s to %s is %s", (before, after, move) => {
  expect(finalityMove(before, after)).toBe(move);
});
