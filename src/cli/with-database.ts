/** For commands that need no more of the daemon than its database. */
import type { Database } from "../db/database.ts";
import { openConfiguredDatabase } from "../db/open-database.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import type { Setup } from "./setup.ts";

/** Works on the configured database, with its schema in place, and closes it whatever happens. */
export async function withDatabase<Result>(
  { config, logger }: Setup,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  const opened = await openConfiguredDatabase(config, {
    logger,
    clock: systemClock,
    random: systemRandom,
    migrate: config.database.migrate,
    applicationName: "depositd command",
  });
  try {
    return await work(opened.database);
  } finally {
    await opened.close();
  }
}
