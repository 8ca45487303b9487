/** What a benchmark group gets, and what it says while it works. */
import type { BenchServer } from "./bench-database.ts";
import type { Measured } from "./measure.ts";

export interface BenchParts {
  readonly server: BenchServer;
  /** Fewer rounds and less work: to see that it runs, not for figures worth keeping. */
  readonly isQuick: boolean;
  /** Progress for people; never on standard output. */
  say(line: string): void;
}

export type BenchGroup = (parts: BenchParts) => Promise<Measured[]>;
