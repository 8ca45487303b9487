import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "./duration.ts";

test.each([
  ["0s", 0],
  ["250ms", 250],
  ["0.45s", 450],
  ["15s", 15_000],
  ["5m", 300_000],
  ["24h", 86_400_000],
  ["7d", 604_800_000],
])("reads %s as %i milliseconds", (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each(["15", "15 s", "-1s", "1.s", "s", "1w", "1e3s", ""])("does not take %j for a duration", (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test("writes a duration in the largest unit that needs no fraction", () => {
  expect([0, 450, 90_000, 7_200_000, 86_400_000].map(formatDuration)).toEqual([
    "0s",
    "450ms",
    "90s",
    "2h",
    "1d",
  ]);
});
