/**
 * A program: loads the watched addresses of a database and looks some up, as the daemon does, in a process whose
 * memory is its own. `node --import tsx addresses-process.ts <database url>` prints what it measured as JSON.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openDatabase } from "../../src/db/database.ts";
import { createAddressLoader } from "../../src/flow/watch-addresses.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { systemRandom } from "../../src/runtime/random.ts";

export interface Loaded {
  readonly count: number;
  readonly seconds: number;
  /** Highest resident set of the process, until the addresses were loaded. */
  readonly peakMegabytes: number;
  /** The longest that nothing else could run. */
  readonly longestStallMs: number;
  readonly missNs: number;
  readonly lookups: number;
  /** Strangers that may be watched, says the table. */
  readonly falseHits: number;
}

const LOOKUPS = 1_000_000;

const [url = ""] = process.argv.slice(2);
const database = openDatabase({ url, maxConnections: 2, logger: silentLogger });
await database.query("SELECT 1");
const stalls = monitorEventLoopDelay({ resolution: 1 });
stalls.enable();
const startedAt = performance.now();
const { table } = await createAddressLoader(database, systemRandom).load();
const seconds = (performance.now() - startedAt) / 1000;
stalls.disable();
const peakMegabytes = (process.resourceUsage().maxRSS * 1024) / 1e6;
await database.close();

const strangers = Array.from({ length: LOOKUPS }, () => `0x${systemRandom.bytes(20).toString("hex")}`);
let falseHits = 0;
// Compiles the look-up, and makes plain texts of what was put together.
for (const stranger of strangers) if (table.mayContain(stranger)) falseHits += 1;
const lookedAt = performance.now();
for (const stranger of strangers) table.mayContain(stranger);
const missNs = ((performance.now() - lookedAt) * 1e6) / LOOKUPS;

const loaded: Loaded = {
  count: table.size,
  seconds,
  peakMegabytes,
  longestStallMs: Math.round(stalls.max / 1e6),
  missNs,
  lookups: LOOKUPS,
  falseHits,
};
process.stdout.write(JSON.stringify(loaded));
