/**
 * A program for tests: joins the embedded PostgreSQL of the folder it is given, prints its URL, and leaves when
 * its standard input ends. `node --import tsx src/testing/embedded-holder.ts <dataDir>`
 */
import { startEmbeddedPostgres } from "../db/embedded-postgres.ts";
import { systemClock } from "../runtime/clock.ts";
import { createLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";

const server = await startEmbeddedPostgres({
  dataDir: process.argv[2] ?? "",
  logger: createLogger("warn"),
  clock: systemClock,
  random: systemRandom,
  settings: { fsync: "off" },
});
process.stdout.write(`${server.url}\n`);
process.stdin.resume();
process.stdin.on("end", async () => {
  await server.stop();
});
