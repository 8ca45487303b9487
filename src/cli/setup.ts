/** What every command begins with: the config and a logger. */
import type { Config } from "../runtime/config/config.ts";
import { type Environment, readEnvironment } from "../runtime/config/environment.ts";
import { readConfig } from "../runtime/config/read-config.ts";
import { createLogger, type Logger, type LogLevel } from "../runtime/logger.ts";
import type { GlobalOptions } from "./command.ts";

export interface Setup {
  readonly config: Config;
  readonly env: Environment;
  readonly logger: Logger;
  /** The config as its file and `.env` say it by then. */
  readonly readAgain: () => Promise<Config>;
}

/** @param level of the log where neither the command line nor, for a daemon, the config says another */
export async function setUp(options: GlobalOptions, level: LogLevel | "config" = "warn"): Promise<Setup> {
  const cwd = process.cwd();
  const env = await readEnvironment(cwd);
  const config = await readConfig({ file: options.config, env, cwd });
  const readAgain = async () => readConfig({ file: options.config, env: await readEnvironment(cwd), cwd });
  const logger = createLogger(options.logLevel ?? (level === "config" ? config.logLevel : level));
  return { config, env, logger, readAgain };
}
