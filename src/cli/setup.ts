/** What most commands begin with: the config, a logger, the database. */
import type { Database } from "../db/database.ts";
import { openConfiguredDatabase } from "../db/open-database.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Config } from "../runtime/config/config.ts";
import { type Environment, readEnvironment } from "../runtime/config/environment.ts";
import { readConfig } from "../runtime/config/read-config.ts";
import { createLogger, type Logger, type LogLevel } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import type { GlobalOptions } from "./command.ts";

export interface Setup {
  readonly config: Config;
  readonly env: Environment;
  readonly logger: Logger;
}

/** @param level of the log where neither the command line nor, for a daemon, the config says another */
export async function setUp(options: GlobalOptions, level: LogLevel | "config" = "warn"): Promise<Setup> {
  const cwd = process.cwd();
  const env = await readEnvironment(cwd);
  const config = await readConfig({ file: options.config, env, cwd });
  const logger = createLogger(options.logLevel ?? (level === "config" ? config.logLevel : level));
  return { config, env, logger };
}

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
