import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { coerceError } from "../../core/errors.ts";
import type { Config } from "./config.ts";
import { describeConfig } from "./describe-config.ts";
import { ConfigInvalidError } from "./faults.ts";
import { readKnownChains } from "./known-chains.ts";
import { readConfig } from "./read-config.ts";

const USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7";
const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

/** Every key that the documentation shows. */
const FULL = `
database: { url: "\${DATABASE_URL:-}" }
queue: { url: "\${REDIS_URL:-}" }
dataDir: ./data
http: { host: 127.0.0.1, port: 8420, publicUrl: "http://127.0.0.1:8420" }
callbacks:
  timeout: 15s
  schedule: [0s, 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h]
  allowPrivateTargets: false
chains:
  - id: 31337
    name: local
    nodes: [{ url: "http://127.0.0.1:8545", ws: "ws://127.0.0.1:8545" }]
    startBlock: latest
    blockTime: 1s
    reorgWindow: 256
    confirmations: { credit: 12, unlock: finalized }
    native: { currency: ETH, decimals: 18, minimum: "0.001", internal: trace }
    tokens:
      - { currency: USDT, address: "${USDT}", decimals: 6, minimum: "1",
          confirmations: [ { upTo: "1000", credit: 3, unlock: 12 }, { credit: 12, unlock: finalized } ] }
`;

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(text: string, env: Record<string, string> = {}): Promise<Config> {
  await writeFile(join(folder, "depositd.yaml"), text);
  return readConfig({ file: "depositd.yaml", env, cwd: folder });
}

/** The faults as lines `path: message`. */
async function faultsOf(text: string, env: Record<string, string> = {}): Promise<string[]> {
  const error = await read(text, env).then(() => undefined, coerceError);
  if (!(error instanceof ConfigInvalidError)) throw error ?? new Error("The config was taken");
  return error.faults.map((fault) => `${fault.path}: ${fault.message}`);
}

/** A config of one chain, of which a test says the part it is about. */
function withChain(lines: string): string {
  return `chains:\n  - id: 31337\n    name: local\n    blockTime: 1s\n    nodes: [{ url: "http://127.0.0.1:8545" }]\n${lines
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n")}\n`;
}

describe("a config that is right", () => {
  test("takes every key the documentation shows, with its meaning", async () => {
    const config = await read(FULL);
    const chain = config.chains[0];
    const finalized = { depth: null, tag: "finalized" };
    const depth = (blocks: number) => ({ depth: blocks, tag: null });

    expect(config).toMatchObject({
      file: join(folder, "depositd.yaml"),
      dataDir: join(folder, "data"),
      database: { url: null, migrate: true },
      queue: { url: null },
      http: { host: "127.0.0.1", port: 8420, pagesPort: null, publicUrl: "http://127.0.0.1:8420" },
      callbacks: { timeoutMs: 15_000, allowPrivateTargets: false },
    });
    expect(config.callbacks.scheduleMs.slice(0, 4)).toEqual([0, 5_000, 300_000, 1_800_000]);
    expect(chain).toMatchObject({
      id: 31337,
      name: "local",
      startBlock: "latest",
      blockTimeMs: 1_000,
      reorgWindow: 256,
      internal: "trace",
    });
    expect(chain?.nodes).toEqual([
      { url: "http://127.0.0.1:8545", wsUrl: "ws://127.0.0.1:8545", maxConcurrency: null },
    ]);
    expect(chain?.assets).toEqual([
      {
        chainId: 31337,
        token: null,
        currency: "ETH",
        decimals: 18,
        amountFrom: "event",
        minimumBaseUnits: 10n ** 15n,
        policy: [{ upToBaseUnits: null, credit: depth(12), unlock: finalized }],
      },
      {
        chainId: 31337,
        token: USDT.toLowerCase(),
        currency: "USDT",
        decimals: 6,
        amountFrom: "event",
        minimumBaseUnits: 1_000_000n,
        policy: [
          { upToBaseUnits: 1_000_000_000n, credit: depth(3), unlock: depth(12) },
          { upToBaseUnits: null, credit: depth(12), unlock: finalized },
        ],
      },
    ]);
  });

  test.each([
    ["12", { depth: 12, tag: null }, { depth: 12, tag: null }],
    ["safe", { depth: null, tag: "safe" }, { depth: null, tag: "safe" }],
    ["{ depth: 12, and: safe }", { depth: 12, tag: "safe" }, { depth: 12, tag: "safe" }],
    ["{ credit: 3 }", { depth: 3, tag: null }, { depth: 3, tag: null }],
    [
      "{ credit: { depth: 2, and: safe }, unlock: finalized }",
      { depth: 2, tag: "safe" },
      { depth: null, tag: "finalized" },
    ],
  ])("reads the policy %s", async (policy, credit, unlock) => {
    const config = await read(
      withChain(`confirmations: ${policy}\nnative: { currency: ETH, decimals: 18, internal: none }`),
    );
    expect(config.chains[0]?.assets[0]?.policy).toEqual([{ upToBaseUnits: null, credit, unlock }]);
  });

  test("takes variables from the environment, with defaults for those that are unset or empty", async () => {
    const text = `database: { url: "\${DATABASE_URL}" }\nhttp: { port: "\${PORT:-9000}" }\ndataDir: "\${DIR:-./d}/$\${x}"\n${withChain("confirmations: 1")}`;
    const config = await read(text, { DATABASE_URL: "postgres://db/d", DIR: "" });
    expect(config).toMatchObject({
      database: { url: "postgres://db/d" },
      http: { port: 9000 },
      dataDir: join(folder, `d/\${x}`),
    });
  });

  test("lets a known chain leave out what is known of it", async () => {
    const config = await read(
      'chains:\n  - id: 1\n    nodes: [{ url: "http://node" }]\n    native: { currency: ETH, decimals: 18, internal: none }',
    );
    expect(config.chains[0]).toMatchObject({
      name: "ethereum",
      blockTimeMs: 12_000,
      pollIntervalMs: 1_000,
      reorgWindow: 256,
    });
    expect(config.chains[0]?.assets[0]?.policy[0]).toMatchObject({
      credit: { depth: 12 },
      unlock: { tag: "finalized" },
    });
  });

  test("is frozen to its last part", async () => {
    const config = await read(FULL);
    expect(Object.isFrozen(config.chains[0]?.assets[1]?.policy[0]?.credit)).toBe(true);
  });

  test("is what the program ships", async () => {
    const config = await readConfig({ env: {}, cwd: process.cwd() });
    expect(config.chains[0]).toMatchObject({ id: 31337, nodes: [{ url: "http://127.0.0.1:8545" }] });
    expect((await readKnownChains()).size).toBeGreaterThanOrEqual(12);
  });
});

describe("a config that is wrong", () => {
  test("is told with all its faults at once, each with its path", async () => {
    const faults = await faultsOf(`
colour: red
database: { url: "mysql://db" }
http: { port: 99999 }
callbacks: { timeout: 15, schedule: [] }
chains:
  - id: 31337
    nodes: [{ url: "http://a", ws: "http://a" }, { url: "http://a/" }]
    blockTime: 1s
    confirmations: { credit: 0, unlock: finalised }
    native: { currency: ETH, decimals: 18, minimum: 0.001, internal: none }
    tokens:
      - { currency: USDT, address: "${USDT}", decimals: 99 }
      - { currency: USDT, address: "${USDT.replace("7C", "7c")}", decimals: 6 }
      - { currency: USDC, address: "${USDC}", decimals: 6, minimum: "0.0000001" }
      - { currency: USDC, address: "${USDC}", decimals: 6 }
  - id: 31337
    name: again
`);
    expect(faults.map((line) => line.slice(0, line.indexOf(": ")))).toEqual([
      "callbacks.schedule",
      "callbacks.timeout",
      "chains[0].confirmations.credit",
      "chains[0].confirmations.unlock",
      "chains[0].name",
      "chains[0].native.minimum",
      "chains[0].nodes[0].ws",
      "chains[0].nodes[1].url",
      "chains[0].tokens[0].decimals",
      "chains[0].tokens[1].address",
      "chains[0].tokens[2].minimum",
      "chains[0].tokens[3].address",
      "chains[1].blockTime",
      "chains[1].confirmations",
      "chains[1].id",
      "chains[1].nodes",
      "colour",
      "database.url",
      "http.port",
    ]);
    expect(faults).toContain("chains[0].tokens[0].decimals: expected a whole number from 0 to 77, got 99");
  });

  test.each([
    [
      "money as a number",
      "confirmations: 1\nnative: { currency: ETH, decimals: 18, minimum: 0.1, internal: none }",
      'chains[0].native.minimum: expected an amount in quotes, such as "0.001", got 0.1',
    ],
    [
      "a native coin that does not say whether inner calls are looked for",
      "confirmations: 1\nnative: { currency: ETH, decimals: 18 }",
      'chains[0].native.internal: missing, expected "trace" or "none"',
    ],
    [
      "an address without quotes",
      `confirmations: 1\ntokens: [{ currency: A, decimals: 6, address: ${USDT} }]`,
      "chains[0].tokens[0].address: expected an address in quotes",
    ],
    [
      "the log of native transfers as a token",
      `confirmations: 1\ntokens: [{ currency: A, decimals: 6, address: "0x${"f".repeat(39)}e" }]`,
      "chains[0].tokens[0].address: this is the log of native transfers (EIP-7708)",
    ],
    [
      "an unlock before the credit",
      "confirmations: { credit: 12, unlock: 3 }",
      "chains[0].confirmations.unlock: unlock must not come before credit",
    ],
    [
      "bands by amount for a whole chain",
      'confirmations: [{ upTo: "1", credit: 1 }, { credit: 2 }]',
      "chains[0].confirmations: bands by amount belong to one asset",
    ],
    [
      "bands that do not rise",
      `confirmations: 1\ntokens: [{ currency: A, decimals: 6, address: "${USDC}", confirmations: [{ upTo: "2", credit: 1 }, { upTo: "2", credit: 2 }, { credit: 3 }] }]`,
      "chains[0].tokens[0].confirmations[1].upTo: bands must stand in rising order of upTo",
    ],
    [
      "bands without an end",
      `confirmations: 1\ntokens: [{ currency: A, decimals: 6, address: "${USDC}", confirmations: [{ upTo: "2", credit: 1 }] }]`,
      "chains[0].tokens[0].confirmations[0].upTo: the last band must have no upTo",
    ],
    [
      "a key written twice",
      "confirmations: 1\nconfirmations: 2",
      "line 7, column 5: Map keys must be unique",
    ],
    [
      "a variable that is not set",
      `confirmations: "\${POLICY}"`,
      "chains[0].confirmations: the environment variable POLICY is not set",
    ],
    [
      "an unknown key deep inside",
      "confirmations: { credit: { depth: 3, und: safe } }",
      "chains[0].confirmations.credit.und: unknown key",
    ],
  ])("is refused for %s", async (_what, lines, expected) => {
    expect((await faultsOf(withChain(lines))).join("\n")).toContain(expected);
  });

  test("is refused when it is empty or no map", async () => {
    expect(await faultsOf("")).toContainEqual(expect.stringContaining("expected a map"));
    expect(await faultsOf("- 1")).toContainEqual(expect.stringContaining("expected a map"));
  });

  test("is unreadable when there is no such file", async () => {
    await expect(readConfig({ file: "none.yaml", env: {}, cwd: folder })).rejects.toMatchObject({
      code: "config_unreadable",
    });
    await expect(readConfig({ env: { DEPOSITD_CONFIG: "named.yaml" }, cwd: folder })).rejects.toThrow(
      join(folder, "named.yaml"),
    );
  });
});

describe("secrets", () => {
  const secret = "s3cr3t";

  test("are not shown in what is in force", async () => {
    const text = `database: { url: "postgres://user:${secret}@db:5432/${secret}" }\nqueue: { url: "redis://:${secret}@cache:6379/1" }\n${withChain("confirmations: 1").replace("127.0.0.1:8545", `node:8545/v3/${secret}?key=${secret}`)}`;
    const shown = JSON.stringify(describeConfig(await read(text)));
    expect(shown).not.toContain(secret);
    expect(shown).toContain("postgres://db:5432/…");
    expect(shown).toContain("http://node:8545/…");
  });

  test("are not shown in faults, whether written into the file or taken from the environment", async () => {
    const faults = await faultsOf(
      `database: "postgres://user:${secret}@db/${secret}"\nqueue: { url: "redis//:${secret}@cache" }\nhttp: { port: "\${PORT}" }\n${withChain(`confirmations: "http://x/${secret}"`).replace("http://127.0.0.1:8545", `ftp://node/${secret}`)}`,
      { PORT: secret },
    );
    expect(faults).toHaveLength(5);
    expect(faults.join("\n")).not.toContain(secret);
    expect(faults).toContain(`http.port: expected a whole number from 0 to 65535, got the value of \${PORT}`);
  });
  test("refuses more witnesses than the chain has nodes, and levels that there are not", async () => {
    const rest =
      'confirmations: 1\nnative: { currency: ETH, decimals: 18, minimum: "0.1", internal: none }\n';
    expect(await faultsOf(withChain(`${rest}witnesses: 2`))).toEqual([
      "chains[0].witnesses: more witnesses than the chain has nodes (1): name another node, or ask for fewer",
    ]);
    expect(await faultsOf(withChain(`${rest}verification: full`))).toEqual([
      expect.stringMatching(/^chains\[0\]\.verification: expected .*auto/),
    ]);
    expect((await read(withChain(rest))).chains[0]).toMatchObject({ verification: "auto", witnesses: 1 });
  });
});

test("E1: takes what counts of a token, and of the native coin nothing but what moved", async () => {
  const token = `{ currency: FEE, decimals: 6, address: "${USDC}", amountFrom: balance }`;
  const { chains } = await read(withChain(`confirmations: 1\ntokens: [${token}]`));
  expect(chains[0]?.assets.map(({ amountFrom }) => amountFrom)).toEqual(["balance"]);
  expect(
    await faultsOf(withChain(`confirmations: 1\ntokens: [${token.replace("balance", "half")}]`)),
  ).toEqual([expect.stringMatching(/^chains\[0\]\.tokens\[0\]\.amountFrom: expected "event" or "balance"/)]);
  const native = "{ currency: ETH, decimals: 18, internal: none, amountFrom: balance }";
  expect(await faultsOf(withChain(`confirmations: 1\nnative: ${native}`))).toEqual([
    expect.stringMatching(/^chains\[0\]\.native\.amountFrom: /),
  ]);
});

test("E4: refuses two assets on one contract, however its address is written", async () => {
  const token = (currency: string, address: string) =>
    `  - { currency: ${currency}, address: "${address}", decimals: 6, minimum: "1" }`;
  const chain = withChain(
    `confirmations: 12\ntokens:\n${token("USDT", USDT)}\n${token("USDX", USDT.toLowerCase())}\n${token("USDC", USDC)}`,
  );
  expect(await faultsOf(chain)).toEqual([
    expect.stringMatching(
      /^chains\[0\]\.tokens\[1\]\.address: this token's contract stands here a second time/,
    ),
  ]);
});
