/** The built program as a shell runs it: a process with arguments, output and an exit code. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { authenticateApiKey } from "../merchants/api-key-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { createDatabase, createTestDatabase, dropDatabase, type TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { createTestHolds } from "../testing/holds.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const NODE_URL = "http://127.0.0.1:1/v3/s3cr3t";

let folder = "";
let db: TestDatabase;
let anvil: Anvil;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-cli-"));
  db = await createTestDatabase();
  anvil = await startAnvil({ mining: "manual" });
});
afterAll(async () => {
  await anvil.stop();
  await db.drop();
  await rm(folder, { recursive: true });
});

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** With nothing of this process's environment but the path. */
function depositd(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { PATH: process.env["PATH"], ...env } };
    execFile(process.execPath, [PROGRAM, ...args], options, (error, stdout, stderr) => {
      resolve({
        exitCode: typeof error?.code === "number" ? error.code : error === null ? 0 : -1,
        stdout,
        stderr,
      });
    });
  });
}

/** Writes a config and answers its path. */
async function configFile(name: string, more: Record<string, unknown> = {}): Promise<string> {
  const file = join(folder, name);
  const chain = {
    id: 1,
    nodes: [{ url: NODE_URL }],
    native: { currency: "ETH", decimals: 18, internal: "none" },
  };
  await writeFile(file, stringify({ database: { url: db.url }, chains: [chain], ...more }));
  return file;
}

describe("usage", () => {
  test("is told for --help and --version, which are no errors", async () => {
    const help = await depositd(["--help"]);
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    for (const command of ["start", "migrate", "doctor", "status", "config", "merchant", "key", "address"]) {
      expect(help.stdout).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
    }
    expect((await depositd(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each([
    ["an unknown command", ["nonsense"], "unknown command 'nonsense'"],
    ["an unknown option", ["status", "--nonsense"], "unknown option '--nonsense'"],
    ["a missing argument", ["merchant", "create"], "missing required argument 'name'"],
    ["no command at all", [], "Usage: depositd"],
  ])("is wrong with %s, and exits with 2", async (_what, args, expected) => {
    const ended = await depositd(args);
    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr).toContain(expected);
  });

  test("is wrong with a role that there is not", async () => {
    const ended = await depositd([
      "start",
      "--roles",
      "scan,cook",
      "--config",
      await configFile("roles.yaml"),
    ]);
    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr).toContain('"cook" is none of them [invalid_request]');
  });
});

describe("config check", () => {
  test("tells every fault on a line of its own, and exits with 2", async () => {
    const file = await configFile("faults.yaml", { http: { port: 0.5, colour: "red" }, dataDir: 7 });
    const ended = await depositd(["config", "check", "--config", file]);
    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr.split("\n")).toEqual([
      `depositd: ${file} has 3 faults [config_invalid]`,
      "  dataDir: expected a folder, got 7",
      "  http.colour: unknown key",
      "  http.port: expected a whole number from 0 to 65535, got 0.5",
      "",
    ]);
    const json = await depositd(["--json", "--config", file, "config", "check"]);
    expect(json).toMatchObject({ exitCode: 2, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({
      valid: false,
      faults: [{ path: "dataDir" }, { path: "http.colour" }, { path: "http.port" }],
    });
  });

  test("shows what is in force, without its secrets, for options before and after the command", async () => {
    const file = await configFile("valid.yaml");
    const before = await depositd(["--config", file, "--json", "config", "check"]);
    const after = await depositd(["config", "check", "--config", file, "--json"]);
    expect(before).toEqual(after);
    expect(JSON.parse(after.stdout)).toMatchObject({
      valid: true,
      config: { file, chains: [{ id: 1, name: "ethereum" }] },
    });
    expect(after.stdout).not.toContain("s3cr3t");
    const named = await depositd(["config", "check"], { DEPOSITD_CONFIG: file });
    expect(named.stdout).toContain("url: http://127.0.0.1:1/…");
  });
});

describe("merchants and keys", () => {
  test("are made, shown once and revoked", async () => {
    const config = ["--config", await configFile("keys.yaml"), "--json"];
    const created = await depositd(["merchant", "create", "shop", ...config]);
    expect(created).toMatchObject({ exitCode: 0, stderr: "" });
    const merchant = JSON.parse(created.stdout) as { merchantId: string; apiKey: string };
    expect(Object.keys(merchant)).toEqual(["merchantId", "apiKey"]);
    const caller = { merchantId: merchant.merchantId, operator: false };
    expect(await authenticateApiKey(db.database, merchant.apiKey)).toMatchObject(caller);

    const second = await depositd(["key", "create", "shop", "--operator", ...config]);
    const key = JSON.parse(second.stdout) as { keyId: string; apiKey: string };
    expect(await authenticateApiKey(db.database, key.apiKey)).toMatchObject({ ...caller, operator: true });

    expect(await depositd(["key", "revoke", key.keyId, ...config])).toMatchObject({ exitCode: 0 });
    expect(await authenticateApiKey(db.database, key.apiKey)).toBeUndefined();
  });

  test("are refused with exit code 1 when the name is taken or there is no such merchant", async () => {
    const config = ["--config", await configFile("refused.yaml")];
    await depositd(["merchant", "create", "taken", ...config]);
    const again = await depositd(["merchant", "create", "taken", ...config]);
    expect(again).toMatchObject({ exitCode: 1, stdout: "" });
    expect(again.stderr).toBe('depositd: There is a merchant named "taken" already [name_taken]\n');
    const unknown = await depositd(["key", "create", "nobody", "--json", ...config]);
    expect(unknown).toMatchObject({ exitCode: 1, stdout: "" });
    expect(JSON.parse(unknown.stderr)).toMatchObject({ error: { code: "not_found" } });
  });
});

describe("a database", () => {
  test("that is away is told in one line without its password, and exits with 75", async () => {
    const file = await configFile("away.yaml", { database: { url: "postgres://user:s3cr3t@127.0.0.1:1/d" } });
    const ended = await depositd(["status", "--config", file]);
    expect(ended).toMatchObject({ exitCode: 75, stdout: "" });
    expect(ended.stderr).toMatch(
      /^depositd: Could not reach the database d at 127\.0\.0\.1:1: .*\[database_unreachable\]\n$/,
    );
    expect(ended.stderr).not.toContain("s3cr3t");
  });

  test("without a schema is refused where migrations are not ours to apply, and migrated by `migrate`", async () => {
    const { name, url } = await createDatabase();
    const config = ["--config", await configFile("empty.yaml", { database: { url, migrate: false } })];
    const refused = await depositd(["merchant", "create", "shop", ...config]);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain("[database_not_migrated]");

    expect((await depositd(["migrate", ...config])).stdout).toMatch(/^Applied 0001_spine\b/);
    const again = await depositd(["migrate", "--json", ...config]);
    expect(JSON.parse(again.stdout)).toEqual({ applied: [] });
    expect(await depositd(["merchant", "create", "shop", ...config])).toMatchObject({ exitCode: 0 });
    await dropDatabase(name);
  });
});

describe("status", () => {
  test("tells chains, deposits and deliveries in flight", async () => {
    await db.database.query(
      "INSERT INTO chains (chain_id, name, cursor_number, cursor_hash, head_number) VALUES (1, 'ethereum', 10, $1, 13)",
      [Buffer.alloc(32)],
    );
    const config = ["--config", await configFile("status.yaml")];
    const json = await depositd(["status", "--json", ...config]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      chains: [
        { chainId: 1, name: "ethereum", state: "following", cursorNumber: 10, headNumber: 13, lagBlocks: 3 },
      ],
      deposits: [],
      deliveries: { dueCount: 0, waitingCount: 0, oldestCreatedAt: null },
      endpoints: { enabled: 0, failing: 0, paused: 0, disabled: 0 },
    });
    const text = await depositd(["status", ...config]);
    expect(text.stdout).toMatch(
      /^ethereum \(1\) +following +10 +13 +3 +- +- +never +The nodes know no "finalized" block/m,
    );
  });

  test("names the endpoints that are not well, by merchant and host, longest first", async () => {
    for (const id of ["end_gone", "end_well", "end_failing"])
      await insertEndpoint(db.database, `https://${id.slice(4)}.example/token`, id);
    await insertDeliveries(db.database, ["end_failing"], 3);
    await db.database.query(
      "UPDATE endpoints SET failing_since = now() - interval '3 hours', paused_until = now() + interval '1 minute' WHERE id = 'end_failing'",
    );
    await db.database.query(
      "UPDATE endpoints SET failing_since = now() - interval '2 days', status = 'disabled', disabled_reason = 'gone' WHERE id = 'end_gone'",
    );
    const config = ["--config", await configFile("status.yaml")];
    expect(JSON.parse((await depositd(["status", "--json", ...config])).stdout)).toMatchObject({
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
    const { stdout } = await depositd(["status", ...config]);
    expect(stdout).toMatch(/^end_failing +mer_test +failing\.example +failing, paused +3 h ago +3$/m);
    expect(stdout).not.toContain("well.example");
    expect(stdout).not.toContain("token");
    await db.database.query("TRUNCATE delivery_attempts, deliveries, events, replays, endpoints");
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
    const file = await configFile("well.yaml", { chains: [chain] });
    const ended = await depositd(["doctor", "--config", file], key);
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    expect(
      ended.stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.slice(0, 4)),
    ).toEqual(Array(7).fill("ok  "));
  });

  test("says what to do about each part that is not well, and exits with 1", async () => {
    const chain = { id: 1, nodes: [{ url: anvil.url }, { url: NODE_URL }] };
    const file = await configFile("ill.yaml", {
      chains: [chain],
      queue: { url: "redis://:s3cr3t@127.0.0.1:1" },
    });
    const ended = await depositd(["doctor", "--json", "--config", file]);
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

describe("callbacks", () => {
  const key = (bytes: string) => ({ DEPOSITD_SECRET_KEY: bytes.repeat(32) });

  test("G1: are replayed by time and state, and what cannot be meant is refused", async () => {
    const config = ["--config", await configFile("replay.yaml")];
    await insertEndpoint(db.database, "https://shop.example/");
    await insertDeliveries(db.database, ["end_test"], 3);
    await db.database.query("UPDATE deliveries SET state = 'failed', finished_at = now()");
    await insertDeliveries(db.database, ["end_test"], 2);
    await db.database.query(
      "UPDATE deliveries SET state = 'delivered', finished_at = now() WHERE state = 'due'",
    );
    const replay = (...more: string[]) => depositd(["replay", "--endpoint", "end_test", ...more, ...config]);
    const done = await replay("--since", "1h", "--status", "failed", "--json");
    expect(JSON.parse(done.stdout)).toMatchObject({
      endpointId: "end_test",
      deliveries: 3,
      statuses: ["failed"],
    });
    const [row] = await db.database.query(
      "SELECT count(*)::integer AS due FROM deliveries WHERE state = 'due'",
    );
    expect(row).toEqual({ due: 3 });
    expect(await replay("--since", "yesterday")).toMatchObject({ exitCode: 2 });
    expect(await replay("--since", "1h", "--status", "due")).toMatchObject({ exitCode: 2 });
    expect(await depositd(["replay", "--endpoint", "end_none", "--since", "1h", ...config])).toMatchObject({
      exitCode: 1,
    });
  });

  test("G6: have their secrets sealed under a new key, with the old one at hand and not without", async () => {
    const config = ["--config", await configFile("reseal.yaml")];
    const reseal = (env: Record<string, string>) => depositd(["secrets", "reseal", "--json", ...config], env);
    const old = { DEPOSITD_OLD_SECRET_KEYS: "07".repeat(32) };
    const without = await reseal(key("08"));
    expect(without.exitCode).not.toBe(0);
    expect(without.stderr).toContain("secret_key_wrong");
    expect(JSON.parse((await reseal({ ...key("08"), ...old })).stdout)).toEqual({ endpoints: 1 });
    expect(JSON.parse((await reseal(key("08"))).stdout)).toEqual({ endpoints: 0 });
  });
});

describe("importing addresses", () => {
  test("registers those of a file, tells each line that cannot be taken, and may run again", async () => {
    const config = ["--config", await configFile("import.yaml"), "--json"];
    await depositd(["merchant", "create", "importer", ...config]);
    const file = join(folder, "addresses.csv");
    const lines = Array.from({ length: 3_000 }, (_, n) => `0x${String(n).padStart(40, "0")},user ${n}`);
    await writeFile(file, ["address,userId", ...lines, "0x12,nobody"].join("\n"));
    const run = () => depositd(["address", "import", file, "--merchant", "importer", ...config]);
    const first = await run();
    expect(first).toMatchObject({ exitCode: 1, stderr: "" });
    expect(JSON.parse(first.stdout)).toMatchObject({
      newCount: 3_000,
      knownCount: 0,
      faultCount: 1,
      faults: [{ line: 3_002, code: "invalid_address" }],
    });
    await writeFile(file, lines.join("\n"));
    const again = await run();
    expect(again.exitCode).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ newCount: 0, knownCount: 3_000, faultCount: 0 });
  });

  test("is refused for a file that is not there, or a merchant that is not", async () => {
    const config = ["--config", await configFile("import-refused.yaml")];
    const run = (file: string) => depositd(["address", "import", file, "--merchant", "nobody", ...config]);
    expect(await run("no-such-file.csv")).toMatchObject({ exitCode: 2 });
    const file = join(folder, "empty.csv");
    await writeFile(file, "");
    expect(await run(file)).toMatchObject({ exitCode: 1 });
  });
});

describe("holds", () => {
  test("are listed, released by two operators whose keys are in the environment, and written into the audit log", async () => {
    const own = await createTestDatabase();
    try {
      const holds = await createTestHolds(own);
      const [held, other] = [await holds.hold(), await holds.hold()];
      const file = await configFile("holds.yaml", { database: { url: own.url }, review: { fourEyes: true } });
      const config = ["--config", file, "--json"];
      const keyOf = async (...args: string[]) => {
        const made = await depositd(["key", "create", MERCHANT_ID, ...args, ...config]);
        return { DEPOSITD_OPERATOR_KEY: (JSON.parse(made.stdout) as { apiKey: string }).apiKey };
      };
      const ann = await keyOf("--operator", "--name", "ann");
      const bob = await keyOf("--operator", "--name", "bob");
      const release = (env: Record<string, string>, ...more: string[]) =>
        depositd(["hold", "release", held.id, "--note", "known", ...more, ...config], env);

      const unnamed = await release({});
      expect(unnamed).toMatchObject({ exitCode: 1, stdout: "" });
      expect(JSON.parse(unnamed.stderr)).toMatchObject({ error: { code: "operator_required" } });
      expect((await release(await keyOf())).stderr).toContain("forbidden");
      expect(JSON.parse((await release(ann)).stdout)).toMatchObject({ outcome: "proposed" });
      expect((await release(ann)).stderr).toContain("second_operator_required");

      const listed = await depositd(["hold", "list", "--config", file]);
      expect(listed.stdout).toMatch(new RegExp(`^${held.id} .* release by operator:ann$`, "m"));
      const status = await depositd(["status", ...config]);
      expect(JSON.parse(status.stdout)).toMatchObject({
        holds: [{ depositId: held.id, proposals: [{ actor: "operator:ann" }] }, { depositId: other.id }],
      });

      expect((await release(bob, "--sequence", "1")).stderr).toContain("deposit_changed");
      expect(JSON.parse((await release(bob)).stdout)).toMatchObject({ outcome: "released", isNew: true });
      expect(JSON.parse((await release(ann)).stdout)).toMatchObject({ outcome: "released", isNew: false });
      const reject = await depositd(["hold", "reject", held.id, "--note", "no", ...config], ann);
      expect(reject.exitCode).toBe(1);
      expect(reject.stderr).toContain("review_decided");
      expect((await depositd(["hold", "release", held.id, ...config])).exitCode).toBe(2);
      expect((await depositd(["hold", "release", held.id, "--note", "", ...config])).exitCode).toBe(2);

      const log = await depositd(["audit", "list", ...config]);
      const { items } = JSON.parse(log.stdout) as {
        items: { actor: string; action: string; hash: string }[];
      };
      expect(items.map(({ actor, action }) => `${actor.replace(/^cli:.*/, "cli:…")} ${action}`)).toEqual([
        ...Array(3).fill("cli:… key.create"),
        "operator:ann deposit.propose_release",
        "operator:bob deposit.release",
      ]);
      const head = items.at(-1)?.hash ?? "";
      const verify = (...more: string[]) => depositd(["verify", "--books-only", ...more, ...config]);
      const well = await verify("--audit-head", items[1]?.hash ?? "");
      expect(well.exitCode).toBe(0);
      expect(JSON.parse(well.stdout)).toMatchObject({ ok: true, auditHead: { sequence: 5, hash: head } });
      const gone = await verify("--audit-head", "ab".repeat(32));
      expect(gone.exitCode).toBe(1);
      expect(JSON.parse(gone.stdout)).toMatchObject({ breaches: [{ rule: "audit_head_gone" }] });
      expect((await verify("--audit-head", "last")).exitCode).toBe(2);
    } finally {
      await own.drop();
    }
  }, 180_000);
});

describe("verify", () => {
  test("tells that the books hold, and exits with 1 and the rows when they do not", async () => {
    const args = ["verify", "--books-only", "--config", await configFile("verify.yaml")];
    const well = await depositd(args);
    expect(well).toMatchObject({ exitCode: 0, stderr: "" });
    expect(well.stdout).toMatch(
      /^The books hold: \d+ rules, none broken\.\nThe audit log has \d+ rows; its head is [0-9a-f]{64}\.\n$/,
    );

    await db.database.query(
      `WITH c AS (INSERT INTO chains (chain_id, name) VALUES (9, 'nine') RETURNING chain_id),
         s AS (INSERT INTO assets (chain_id, currency, decimals) SELECT chain_id, 'NINE', 0 FROM c RETURNING id),
         a AS (INSERT INTO ledger_accounts (code, kind, asset_id)
           SELECT kind || ':9', kind, s.id FROM s, unnest('{custody,suspense}'::text[]) AS kind RETURNING id, asset_id, kind),
         e AS (INSERT INTO ledger_entries (kind, reference, generation) VALUES ('credit', 'dep_of_nobody', 1) RETURNING id)
       INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
       SELECT e.id, row_number() OVER (), a.id, a.asset_id, CASE a.kind WHEN 'custody' THEN -5 ELSE 5 END FROM e, a`,
    );
    const broken = await depositd([...args, "--json"]);
    expect(broken.exitCode).toBe(1);
    const { ok, breaches } = JSON.parse(broken.stdout) as { ok: boolean; breaches: { rule: string }[] };
    expect([ok, breaches.map((breach) => breach.rule)]).toEqual([
      false,
      ["entry_without_credit", "custody_off"],
    ]);
    expect((await depositd([...args, "--sample", "some"])).exitCode).toBe(2);
  });
});
