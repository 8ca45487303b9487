import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isRetryable } from "../core/errors.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { createDatabase, dropDatabase } from "../testing/database.ts";
import { deleteEmbeddedPostgres } from "./embedded-postgres.ts";
import { type OpenedDatabase, openConfiguredDatabase, openUnpreparedDatabase } from "./open-database.ts";

let name: string;
let url: string;
const opened: OpenedDatabase[] = [];

beforeEach(async () => {
  ({ name, url } = await createDatabase());
});
afterEach(async () => {
  for (const database of opened.splice(0)) await database.close();
  // Fails when a refused opening left a connection behind.
  await dropDatabase(name);
});

const options = { logger: silentLogger, clock: systemClock, random: systemRandom, migrate: true };
const configOf = (databaseUrl: string | null, dataDir = "/nowhere") => ({
  dataDir,
  database: { url: databaseUrl, maxConnections: 3, migrate: true },
});

async function open(config: ReturnType<typeof configOf>, migrate = true): Promise<OpenedDatabase> {
  const database = await openConfiguredDatabase(config, { ...options, migrate });
  opened.push(database);
  return database;
}

function changed(part: "password" | "port" | "pathname" | "hostname", value: string): string {
  const other = new URL(url);
  other[part] = value;
  return other.href;
}

describe("openConfiguredDatabase", () => {
  it("opens the named database and brings it to this version's schema", async () => {
    const { database } = await open(configOf(url));
    expect(await database.query("SELECT count(*) AS n FROM deposits")).toEqual([{ n: 0n }]);
    expect((await open(configOf(url), false)).url).toBe(url);
  });

  it("refuses a database without the schema when it may not migrate it", async () => {
    await expect(open(configOf(url), false)).rejects.toMatchObject({ code: "database_not_migrated" });
  });

  it.each([
    ["nobody listens", () => changed("port", "1"), "127.0.0.1:1: connect ECONNREFUSED"],
    ["the host is not known", () => changed("hostname", "no-such-host.invalid"), "at no-such-host.invalid:"],
    ["the password is wrong", () => changed("password", "s3cret-word"), "password authentication failed"],
    [
      "the database does not exist",
      () => changed("pathname", "/no_such"),
      'database "no_such" does not exist',
    ],
  ])("says in one line where and why when %s, and that it may pass", async (_case, wrongUrl, reason) => {
    const thrown: unknown = await open(configOf(wrongUrl())).catch((rawError: unknown) => rawError);
    expect(thrown).toMatchObject({ code: "database_unreachable", message: expect.stringContaining(reason) });
    const { message, facts } = thrown as { message: string; facts: object };
    expect(message).toMatch(/^Could not reach the database [^\n]+$/);
    expect(isRetryable(thrown)).toBe(true);
    const password = new URL(wrongUrl()).password;
    expect(message + JSON.stringify(facts)).not.toContain(password);
  });

  it("can be opened while the database is away, and prepared when it is there", async () => {
    const later = `later_${name}`;
    const database = await openUnpreparedDatabase(configOf(changed("pathname", `/${later}`)), options);
    opened.push(database);
    await expect(database.prepare()).rejects.toMatchObject({ code: "database_unreachable" });
    const { database: beside } = await open(configOf(url));
    await beside.query(`CREATE DATABASE ${later}`);
    await database.prepare();
    expect(await database.database.query("SELECT count(*) AS n FROM deposits")).toEqual([{ n: 0n }]);
    await database.close();
    await dropDatabase(later);
  });

  it("opens an embedded database in the data folder when none is named", async () => {
    const folder = await mkdtemp(join(tmpdir(), "depositd-open-"));
    await chmod(folder, 0o755);
    const config = configOf(null, join(folder, "data"));
    const [first, second] = await Promise.all([open(config), open(config)]);
    await first.close();
    await first.close();
    expect(await second.database.query("SELECT count(*) AS n FROM deposits")).toEqual([{ n: 0n }]);
    await second.close();
    await expect(open(configOf(second.url))).rejects.toMatchObject({ code: "database_unreachable" });
    await deleteEmbeddedPostgres(config.dataDir);
    await rm(folder, { recursive: true });
  });
});
