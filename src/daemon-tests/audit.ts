/** What must always hold of the books, asked of the database itself, whatever happened to the daemon before. */
import { expect } from "vitest";
import type { Database } from "../db/database.ts";
import { checkBooks } from "../flow/verify-store.ts";

export async function expectBooksToHold(database: Database): Promise<void> {
  expect(await checkBooks(database)).toEqual([]);
}
