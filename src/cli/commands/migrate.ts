/** `migrate`: brings the database to this version's schema. */
import { DepositdError } from "../../core/errors.ts";
import { migrate } from "../../db/migrate.ts";
import { type OpenedDatabase, openUnpreparedDatabase } from "../../db/open-database.ts";
import { systemClock } from "../../runtime/clock.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";

export async function migrateCommand(options: GlobalOptions): Promise<CommandResult> {
  const { config, logger } = await setUp(options);
  const runtime = { logger, clock: systemClock, random: systemRandom, applicationName: "depositd migrate" };
  const opened = await openUnpreparedDatabase(config, { ...runtime, migrate: false });
  try {
    const applied = (await isUpToDate(opened)) ? [] : (await migrate(opened.database.pool, logger)).applied;
    const text =
      applied.length === 0
        ? "Nothing to do: the schema is this version's."
        : applied.map((name) => `Applied ${name}`).join("\n");
    return { exitCode: EXIT.done, json: { applied }, text };
  } finally {
    await opened.close();
  }
}

/** Looks before it leaps: `prepare` also tells in one line why a server cannot be reached. */
async function isUpToDate(opened: OpenedDatabase): Promise<boolean> {
  try {
    await opened.prepare();
    return true;
  } catch (rawError) {
    if (rawError instanceof DepositdError && rawError.code === "database_not_migrated") return false;
    throw rawError;
  }
}
