/** Durations as people write them: `250ms`, `15s`, `5m`, `2h`, `1d`. */

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

/** @returns milliseconds, or `undefined` when the text is no duration. `0.45s` is 450. */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = UNITS.find(([name]) => name === unit)?.[1];
  if (digits === undefined || factor === undefined) return undefined;
  const milliseconds = Math.round(Number(digits) * factor);
  return Number.isSafeInteger(milliseconds) ? milliseconds : undefined;
}

/** In the largest unit that needs no fraction: `formatDuration(90_000)` is `"90s"`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0s";
  const [name, factor] = UNITS.find(([, size]) => milliseconds >= size && milliseconds % size === 0) ?? [
    "ms",
    1,
  ];
  return `${milliseconds / factor}${name}`;
}
