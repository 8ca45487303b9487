/** The built program as a shell runs it. What single commands do is tested beside them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { createDatabase, dropDatabase } from "../testing/database.ts";
import { AWAY_NODE_URL, createProgramRig, type ProgramRig } from "../testing/depositd.ts";
import { MERCHANT_ID } from "../testing/factory.ts";

let rig: ProgramRig;
beforeAll(async () => {
  rig = await createProgramRig();
});
afterAll(() => rig.drop());

let anvil: Anvil;
beforeAll(async () => {
  anvil = await startAnvil({ mining: "manual" });
});
afterAll(() => anvil.stop());

describe("usage", () => {
  test("is told for --help and --version, which are no errors", async () => {
    const help = await rig.depositd(["--help"]);
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    for (const command of ["start", "migrate", "doctor", "status", "config", "merchant", "key", "address"]) {
      expect(help.stdout).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
    }
    expect((await rig.depositd(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each([
    ["an unknown command", ["nonsense"], "unknown command 'nonsense'"],
    ["an unknown option", ["status", "--nonsense"], "unknown option '--nonsense'"],
    ["a missing argument", ["merchant", "create"], "missing required argument 'name'"],
    ["no command at all", [], "Usage: depositd"],
  ])("is wrong with %s, and exits with 2", async (_what, args, expected) => {
    const ended = await rig.depositd(args);
    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr).toContain(expected);
  });

  test("is wrong with a role that there is not", async () => {
    const ended = await rig.depositd([
      "start",
      "--roles",
      "scan,cook",
      "--config",
      await rig.configFile("roles.yaml"),
    ]);
    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr).toContain('"cook" is none of them [invalid_request]');
  });
});

describe("config check", () => {
  test("tells every fault on a line of its own, and exits with 2", async () => {
    const file = await rig.configFile("faults.yaml", { http: { port: 0.5, colour: "red" }, dataDir: 7 });
    const ended = await rig.depositd(["config", "check", "--config", file]);
    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr.split("\n")).toEqual([
      `depositd: ${file} has 3 faults [config_invalid]`,
      "  dataDir: expected a folder, got 7",
      "  http.colour: unknown key",
      "  http.port: expected a whole number from 0 to 65535, got 0.5",
      "",
    ]);
    const json = await rig.depositd(["--json", "--config", file, "config", "check"]);
    expect(json).toMatchObject({ exitCode: 2, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({
      valid: false,
      faults: [{ path: "dataDir" }, { path: "http.colour" }, { path: "http.port" }],
    });
  });

  test("shows what is in force, without its secrets, for options before and after the command", async () => {
    const file = await rig.configFile("valid.yaml");
    const before = await rig.depositd(["--config", file, "--json", "config", "check"]);
    const after = await rig.depositd(["config", "check", "--config", file, "--json"]);
    expect(before).toEqual(after);
    expect(JSON.parse(after.stdout)).toMatchObject({
      valid: true,
      config: { file, chains: [{ id: 1, name: "ethereum" }] },
    });
    expect(after.stdout).not.toContain("s3cr3t");
    const named = await rig.depositd(["config", "check"], { DEPOSITD_CONFIG: file });
    expect(named.stdout).toContain("url: http://127.0.0.1:1/…");
  });
});

describe("a database", () => {
  test("that is away is told in one line without its password, and exits with 75", async () => {
    const file = await rig.configFile("away.yaml", {
      database: { url: "postgres://user:s3cr3t@127.0.0.1:1/d" },
    });
    const ended = await rig.depositd(["status", "--config", file]);
    expect(ended).toMatchObject({ exitCode: 75, stdout: "" });
    expect(ended.stderr).toMatch(
      /^depositd: Could not reach the database d at 127\.0\.0\.1:1: .*\[database_unreachable\]\n$/,
    );
    expect(ended.stderr).not.toContain("s3cr3t");
  });

  test("without a schema is refused where migrations are not ours to apply, and migrated by `migrate`", async () => {
    const { name, url } = await createDatabase();
    const config = ["--config", await rig.configFile("empty.yaml", { database: { url, migrate: false } })];
    const refused = await rig.depositd(["merchant", "create", "shop", ...config]);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain("[database_not_migrated]");

    expect((await rig.depositd(["migrate", ...config])).stdout).toMatch(/^Applied 0001_spine\b/);
    const again = await rig.depositd(["migrate", "--json", ...config]);
    expect(JSON.parse(again.stdout)).toEqual({ applied: [] });
    expect(await rig.depositd(["merchant", "create", "shop", ...config])).toMatchObject({ exitCode: 0 });
    await dropDatabase(name);
  });
});

describe("status", () => {
  test("tells chains, deposits and deliveries in flight", async () => {
    await rig.db.database.query(
      "INSERT INTO chains (chain_id, name, cursor_number, cursor_hash, head_number) VALUES (1, 'ethereum', 10, $1, 13)",
      [Buffer.alloc(32)],
    );
    const config = ["--config", await rig.configFile("status.yaml")];
    const json = await rig.depositd(["status", "--json", ...config]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      chains: [
        { chainId: 1, name: "ethereum", state: "following", cursorNumber: 10, headNumber: 13, lagBlocks: 3 },
      ],
      deposits: [],
      deliveries: { dueCount: 0, waitingCount: 0, oldestCreatedAt: null },
      endpoints: { enabled: 0, failing: 0, paused: 0, disabled: 0 },
    });
    const text = await rig.depositd(["status", ...config]);
    expect(text.stdout).toMatch(
      /^ethereum \(1\) +following +10 +13 +3 +- +- +never +The nodes know no "finalized" block/m,
    );
  });

  test("names the endpoints that are not well, by merchant and host, longest first", async () => {
    for (const id of ["end_gone", "end_well", "end_failing"])
      await insertEndpoint(rig.db.database, `https://${id.slice(4)}.example/token`, id);
    await insertDeliveries(rig.db.database, ["end_failing"], 3);
    await rig.db.database.query(
      "UPDATE endpoints SET failing_since = now() - interval '3 hours', paused_until = now() + interval '1 minute' WHERE id = 'end_failing'",
    );
    await rig.db.database.query(
      "UPDATE endpoints SET failing_since = now() - interval '2 days', status = 'disabled', disabled_reason = 'gone' WHERE id = 'end_gone'",
    );
    const config = ["--config", await rig.configFile("status.yaml")];
    expect(JSON.parse((await rig.depositd(["status", "--json", ...config])).stdout)).toMatchObject({
      unwellEndpoints: [
        {
          id: "end_gone",
          merchantId: MERCHANT_ID,
          host: "gone.example",
          state: "disabled: gone",
          dueCount: 0,
        },
        { id: "end_failing", host: "failing.example", state: "failing, paused", dueCount: 3 },
      ],
    });
    const { stdout } = await rig.depositd(["status", ...config]);
    expect(stdout).toMatch(/^end_failing +mer_test +failing\.example +failing, paused +3 h ago +3$/m);
    expect(stdout).not.toContain("well.example");
    expect(stdout).not.toContain("token");
    await rig.db.database.query(
      "TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints",
    );
  });
});

describe("doctor", () => {
  const key = { DEPOSITD_SECRET_KEY: "ab".repeat(32) };

  test("finds nothing to do where all is well", async () => {
    const chain = {
      id: 31337,
      name: "local",
      blockTime: "1s",
      nodes: [{ url: anvil.url }],
      confirmations: { credit: 2, unlock: "finalized" },
    };
    const file = await rig.configFile("well.yaml", { chains: [chain] });
    const ended = await rig.depositd(["doctor", "--config", file], key);
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    expect(
      ended.stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.slice(0, 4)),
    ).toEqual(Array(7).fill("ok  "));
  });

  test("says what to do about each part that is not well, and exits with 1", async () => {
    const chain = { id: 1, nodes: [{ url: anvil.url }, { url: AWAY_NODE_URL }] };
    const file = await rig.configFile("ill.yaml", {
      chains: [chain],
      queue: { url: "redis://:s3cr3t@127.0.0.1:1" },
    });
    const ended = await rig.depositd(["doctor", "--json", "--config", file]);
    expect(ended).toMatchObject({ exitCode: 1, stderr: "" });
    expect(ended.stdout).not.toContain("s3cr3t");
    const { ok, findings } = JSON.parse(ended.stdout) as {
      ok: boolean;
      findings: { part: string; level: string; found: string; advice: string | null }[];
    };
    expect(ok).toBe(false);
    const failed = findings.filter((finding) => finding.level === "fail");
    expect(failed.map((finding) => finding.part)).toEqual([
      "secret key",
      "queue",
      expect.stringContaining("ethereum 127.0.0.1"),
      "ethereum 127.0.0.1:1",
    ]);
    expect(failed[2]?.found).toContain("31337");
    expect(failed.every((finding) => finding.advice !== null)).toBe(true);
  });
});

describe("verify", () => {
  test("tells that the books hold, and exits with 1 and the rows when they do not", async () => {
    const args = ["verify", "--books-only", "--config", await rig.configFile("verify.yaml")];
    const well = await rig.depositd(args);
    expect(well).toMatchObject({ exitCode: 0, stderr: "" });
    expect(well.stdout).toMatch(
      /^The books hold: \d+ rules, none broken\.\nThe audit log has \d+ rows; its head is [0-9a-f]{64}\.\n$/,
    );

    await rig.db.database.query(
      `WITH c AS (INSERT INTO chains (chain_id, name) VALUES (9, 'nine') RETURNING chain_id),
         s AS (INSERT INTO assets (chain_id, currency, decimals) SELECT chain_id, 'NINE', 0 FROM c RETURNING id),
         a AS (INSERT INTO ledger_accounts (code, kind, asset_id)
           SELECT kind || ':9', kind, s.id FROM s, unnest('{custody,suspense}'::text[]) AS kind RETURNING id, asset_id, kind),
         e AS (INSERT INTO ledger_entries (kind, reference, generation) VALUES ('credit', 'dep_of_nobody', 1) RETURNING id)
       INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
       SELECT e.id, row_number() OVER (), a.id, a.asset_id, CASE a.kind WHEN 'custody' THEN -5 ELSE 5 END FROM e, a`,
    );
    const broken = await rig.depositd([...args, "--json"]);
    expect(broken.exitCode).toBe(1);
    const { ok, breaches } = JSON.parse(broken.stdout) as { ok: boolean; breaches: { rule: string }[] };
    expect([ok, breaches.map((breach) => breach.rule)]).toEqual([
      false,
      ["entry_without_credit", "custody_off"],
    ]);
    expect((await rig.depositd([...args, "--sample", "some"])).exitCode).toBe(2);
  });
});
