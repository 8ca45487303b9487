/** What goes on in a database: the statements of one client, and whether any waits for another. */
import type { Database } from "../db/database.ts";

/** @param tell is waited for before each statement within a transaction */
export function watchedDatabase(database: Database, tell: (text: string) => Promise<void>): Database {
  return {
    ...database,
    transaction: (work) =>
      database.transaction((tx) =>
        work({
          query: async (text, values, name) => {
            await tell(text);
            return tx.query(text, values, name);
          },
        }),
      ),
  };
}

/** Whether a statement waits for a lock that another transaction holds. */
export async function doesAnybodyWait(database: Database): Promise<boolean> {
  const waiting = await database.query(
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
  );
  return waiting.length > 0;
}
