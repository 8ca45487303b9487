/** The one door for randomness, so that a test can hold it. */
import { randomBytes } from "node:crypto";

export interface Random {
  /** Bytes that nobody can guess: keys, secrets, hash seeds. */
  bytes(length: number): Buffer;
  /** Evenly spread in [0, 1): jitter. */
  fraction(): number;
}

export const systemRandom: Random = {
  bytes: (length) => randomBytes(length),
  fraction: () => Math.random(),
};
