import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkTree } from "./layers/check-tree.ts";
import type { Exception } from "./layers/exceptions.ts";
import { readImports } from "./layers/imports.ts";
import { readSourceText } from "./layers/source-text.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "depositd-layers-"));
});
afterEach(() => rmSync(root, { recursive: true }));

/** What the check says about a tree of these files. */
function check(
  files: Readonly<Record<string, string>>,
  exceptions: readonly Exception[] = [],
): readonly string[] {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return checkTree(root, exceptions).complaints;
}

const complaint = (...parts: string[]) =>
  expect.stringMatching(new RegExp(parts.map(escapePattern).join(".*"), "s"));
const escapePattern = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

describe("check-layers", () => {
  it("finds the project itself in order", () => {
    const project = join(dirname(fileURLToPath(import.meta.url)), "..");
    expect(checkTree(project).complaints).toEqual([]);
  });

  it("lets values be imported rightwards, over as many layers as one likes", () => {
    expect(
      check({
        "src/cli/main.ts": 'import { app } from "../app.ts";\nimport { amount } from "../core/amount.ts";\n',
        "src/app.ts":
          'import { follow } from "./flow/follow.ts";\nimport { routes } from "./http/routes.ts";\n',
        "src/http/routes.ts": 'import { follow } from "../flow/follow.ts";\n',
        "src/flow/follow.ts":
          'import { scan } from "../scanner/scan.ts";\nimport { sql } from "../db/sql.ts";\n',
        "src/scanner/scan.ts": 'import { clock } from "../runtime/clock.ts";\n',
        "src/db/sql.ts": 'import { log } from "../runtime/log.ts";\n',
        "src/runtime/log.ts": 'import { amount } from "../core/amount.ts";\n',
        "src/runtime/clock.ts": "export const clock = Date.now;\n",
        "src/core/amount.ts": "export const amount = 1n;\n",
      }),
    ).toEqual([]);
  });

  it.each([
    ["src/core/amount.ts", "../runtime/clock.ts"],
    ["src/runtime/clock.ts", "../db/sql.ts"],
    ["src/db/sql.ts", "../ledger/entry.ts"],
    ["src/ledger/entry.ts", "../flow/settle.ts"],
    ["src/flow/settle.ts", "../http/routes.ts"],
    ["src/http/routes.ts", "../app.ts"],
    ["src/http/routes.ts", "../checkout/page.ts"],
    ["src/checkout/page.ts", "../http/routes.ts"],
    ["src/flow/settle.ts", "../checkout/page.ts"],
    ["src/app-parts.ts", "./cli/main.ts"],
  ])("refuses %s to import %s, be it only its types", (path, specifier) => {
    const value = check({ [path]: `import { x } from "${specifier}";\n` });
    expect(value).toEqual([complaint(`${path}:1 imports src/`, "may not know", "[layer]")]);
    expect(check({ [path]: `\nimport type { X } from "${specifier}";\n` })).toEqual([
      complaint(`${path}:2 imports src/`, "[layer]"),
    ]);
  });

  it("refuses a stage to import another stage's values", () => {
    expect(
      check({ "src/ledger/entry.ts": 'import { insert } from "../deposits/deposit-store.ts";\n' }),
    ).toEqual([
      complaint("src/ledger/entry.ts:1 imports src/deposits/deposit-store.ts", "let flow/ bring", "[stage]"),
    ]);
  });

  it("takes an inline type for a value, because the module is loaded all the same", () => {
    expect(
      check({ "src/ledger/entry.ts": 'import { type Deposit } from "../deposits/deposit.ts";\n' }),
    ).toEqual([complaint("[stage]")]);
  });

  it("lets a stage import an earlier stage's types, and refuses a later one's", () => {
    expect(
      check({ "src/ledger/entry.ts": 'import type { Deposit } from "../deposits/deposit.ts";\n' }),
    ).toEqual([]);
    expect(
      check({ "src/deposits/deposit.ts": 'import type { Entry } from "../ledger/entry.ts";\n' }),
    ).toEqual([complaint("src/deposits/deposit.ts:1", "ledger comes after deposits", "[stage]")]);
  });

  it("refuses a file in a folder that has no layer", () => {
    expect(
      check({ "src/bills/bill.ts": "export const a = 1;\n", "src/stray.ts": "export const b = 1;\n" }),
    ).toEqual([complaint("src/bills/bill.ts:1 has no layer"), complaint("src/stray.ts:1 has no layer")]);
  });

  it("refuses the program to import what is for tests, or outside src, and lets tests import everything", () => {
    expect(
      check({
        "src/core/a.ts": 'import { b } from "../testing/b.ts";\nimport { c } from "../../scripts/c.ts";\n',
        "src/core/a.test.ts":
          'import { b } from "../testing/b.ts";\nimport { d } from "../cli/d.ts";\nDate.now();\n',
        "src/testing/b.ts": 'import pg from "pg";\nimport { d } from "../cli/d.ts";\nsetTimeout(d, 1);\n',
      }),
    ).toEqual([complaint("src/core/a.ts:1", "for tests only"), complaint("src/core/a.ts:2", "outside src/")]);
  });

  it("keeps viem's values to core, rpc, matcher and deposits", () => {
    expect(check({ "src/matcher/decode.ts": 'import { decodeEventLog } from "viem";\n' })).toEqual([]);
    expect(check({ "src/flow/a.ts": 'import type { Hex } from "viem";\n' })).toEqual([]);
    expect(check({ "src/flow/a.ts": 'import { getAddress } from "viem/utils";\n' })).toEqual([
      complaint("src/flow/a.ts:1 imports viem/utils", "[package]"),
    ]);
  });

  it.each(["bullmq", "ioredis"])("keeps %s to runtime/queue, its types too", (name) => {
    expect(check({ "src/runtime/queue/q.ts": `import { Queue } from "${name}";\n` })).toEqual([]);
    expect(check({ "src/runtime/clock.ts": `import type { Queue } from "${name}";\n` })).toEqual([
      complaint("[package]"),
    ]);
  });

  it.each(["pg", "@prisma/client", "@prisma/adapter-pg"])("keeps %s to db and stores", (name) => {
    expect(
      check({
        "src/db/a.ts": `import x from "${name}";\n`,
        "src/ledger/entry-store.ts": `import x from "${name}";\n`,
      }),
    ).toEqual([]);
    expect(check({ "src/ledger/entry.ts": `import x from "${name}";\n` })).toEqual([complaint("[package]")]);
  });

  it.each([
    ['await sql.query("SELECT 1");', "sql"],
    ["await sql.query<Row>(`SELECT 1`);", "sql"],
    ["await client.$queryRaw`SELECT 1`;", "sql"],
    ["await database.prisma.merchant.findMany();", "sql"],
    ['const home = process.env["HOME"];', "environment"],
    ["const { env } = process;", "environment"],
    ["setTimeout(() => go(), 10);", "time"],
    ["setInterval(go, 10);", "time"],
    ["const now = Date.now();", "time"],
    ["const now = new Date();", "time"],
    ["const now = performance.now();", "time"],
    ["const signal = AbortSignal.timeout(5);", "time"],
    ["const jitter = Math.random();", "randomness"],
    ['import { randomUUID } from "node:crypto";', "randomness"],
    ["const id = crypto.randomUUID();", "randomness"],
  ])("refuses %s in a stage [%s]", (line, rule) => {
    expect(check({ "src/ledger/entry.ts": `const a = 1;\n${line}\n` })).toEqual([
      complaint("src/ledger/entry.ts:2 uses", `[${rule}]`),
    ]);
  });

  it("allows each of them where it belongs", () => {
    expect(
      check({
        "src/ledger/entry-store.ts": 'await sql.query("SELECT 1");\n',
        "src/db/migrate.ts": 'await client.query("SELECT 1");\n',
        "src/runtime/config/environment.ts": 'const home = process.env["HOME"];\n',
        "src/runtime/clock.ts": "setTimeout(() => Date.now() + performance.now(), 10);\nnew Date();\n",
        "src/runtime/random.ts": "Math.random();\n",
        "src/ledger/time.ts": "const at = new Date(milliseconds);\n",
      }),
    ).toEqual([]);
  });

  it("takes no notice of comments, strings, templates and regular expressions, and does of code within templates", () => {
    expect(
      check({
        "src/ledger/entry.ts": [
          "// Date.now() and setTimeout( are for the clock",
          "/* Math.random() */ const quote = /[\"'`/]Date.now/;",
          'const half = 1 / 2; const text = "Date.now() \\" Math.random()"; const other = \'process.env\';',
          // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
          "const both = `Math.random() ${half} Date.now() ${`Date.now()`}`;",
          // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
          "const code = `now: ${Date.now()}`;",
        ].join("\n"),
      }),
    ).toEqual([complaint("src/ledger/entry.ts:5 uses Date.now", "[time]")]);
  });

  it("refuses barrels, and lets types be handed on", () => {
    expect(
      check({
        "src/core/index.ts": 'export * from "./amount.ts";\n',
        "src/core/amount.ts": 'export type { Hash } from "./hex.ts";\nexport { hex } from "./hex.ts";\n',
      }),
    ).toEqual([
      complaint("src/core/amount.ts:2 hands on ./hex.ts", "[barrel]"),
      complaint("src/core/index.ts:1 is an index", "[barrel]"),
      complaint("src/core/index.ts:1 hands on ./amount.ts", "[barrel]"),
    ]);
  });

  it.each(["utils", "helpers", "common"])("refuses a folder called %s", (name) => {
    expect(check({ [`src/core/${name}/a.ts`]: "export const a = 1;\n" })).toEqual([
      complaint(`src/core/${name}/a.ts:1 lies in ${name}/`, "[folder]"),
    ]);
  });

  it("refuses a cycle of values and names it, and lets types go round", () => {
    expect(
      check({
        "src/core/a.ts": 'import { b } from "./b.ts";\n',
        "src/core/b.ts": 'import { c } from "./c.ts";\n',
        "src/core/c.ts": 'import { a } from "./a.ts";\nimport type { B } from "./b.ts";\n',
      }),
    ).toEqual([
      complaint(
        "src/core/c.ts:1 closes the cycle src/core/a.ts > src/core/b.ts > src/core/c.ts > src/core/a.ts",
      ),
    ]);
  });

  it("lets a listed exception be, and complains about one that is needed no more", () => {
    const exception: Exception = { file: "src/ledger/entry.ts", rule: "time", reason: "for the test" };
    expect(check({ "src/ledger/entry.ts": "Date.now();\n" }, [exception])).toEqual([]);
    expect(check({ "src/ledger/entry.ts": "clock.now();\n" }, [exception])).toEqual([
      complaint("needed no more"),
    ]);
  });
});

describe("readImports", () => {
  it("finds every form of import, over several lines too, and nothing in text", () => {
    const text = readSourceText(`import a, { b as c } from "./a.ts";
import {
  type d,
  e,
} from './d.ts';
import "./effect.ts";
import * as all from "./all.ts";
import type F from "./f.ts";
const g = await import("./g.ts");
export type { H } from "./h.ts";
export { i } from "./i.ts";
export * as j from "./j.ts";
type K = import("./k.ts").K;
// import { no } from "./no.ts";
const text = 'import { no } from "./no.ts"';
export const from = Array.from("abc");
`);
    const found = readImports(text).map(
      ({ specifier, line, isType }) => `${line} ${specifier}${isType ? " type" : ""}`,
    );
    expect(found).toEqual([
      "1 ./a.ts",
      "2 ./d.ts",
      "6 ./effect.ts",
      "7 ./all.ts",
      "8 ./f.ts type",
      "9 ./g.ts",
      "10 ./h.ts type",
      "11 ./i.ts",
      "12 ./j.ts",
      "13 ./k.ts",
    ]);
  });
});
