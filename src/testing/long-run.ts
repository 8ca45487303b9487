/** How long the long tests run, and from which seed: the one place where tests read the environment for it. */
import { randomInt } from "node:crypto";

export interface LongRun {
  readonly seconds: number;
  readonly seed: number;
}

const DEFAULT_SECONDS = 600;

/** `LONG_SECONDS` (600 if it is not set) and `LONG_SEED` (a new one). @throws {RangeError} when one is no whole number */
export function longRun(): LongRun {
  return {
    seconds: readInteger("LONG_SECONDS") ?? DEFAULT_SECONDS,
    seed: readInteger("LONG_SEED") ?? randomInt(2 ** 31),
  };
}

function readInteger(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === "") return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new RangeError(`${name} is not a whole number above zero: ${text}`);
  return Number(text);
}
