/** The migrations this program brings: `prisma/migrations/<name>/migration.sql`. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Migration {
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file in hex, as Prisma writes it down. */
  readonly checksum: string;
}

/** `prisma/` lies beside `src/` and beside `dist/` alike, so the way there is the same from both. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL("../../prisma/migrations", import.meta.url));

/** All of them, in the order of their names, which is the order they are applied in. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(join(folder, name, "migration.sql"), "utf8");
      return { name, sql, checksum: sha256(sql) };
    }),
  );
}

/** Like Prisma, takes no notice of line ends: a checkout on Windows may have changed them. */
export function hasChecksum(migration: Migration, checksum: string): boolean {
  const lf = migration.sql.replaceAll("\r\n", "\n");
  return [migration.sql, lf, lf.replaceAll("\n", "\r\n")].some((text) => sha256(text) === checksum);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
