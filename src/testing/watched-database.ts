/** A database of whose statements a test is told. */
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
