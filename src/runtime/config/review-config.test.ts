import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { coerceError } from "../../core/errors.ts";
import type { Config } from "./config.ts";
import { compareConfigs } from "./config-changes.ts";
import { describeConfig } from "./describe-config.ts";
import { ConfigInvalidError } from "./faults.ts";
import { readConfig } from "./read-config.ts";

const USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7";
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const CHAINS = `
chains:
  - id: 1
    nodes: [{ url: "http://127.0.0.1:8545" }]
    native: { currency: ETH, decimals: 18, internal: none }
    tokens: [{ currency: USDT, address: "${USDT}", decimals: 6 }]
  - id: 56
    nodes: [{ url: "http://127.0.0.1:8546" }]
    tokens: [{ currency: USDT, address: "${USDT}", decimals: 18 }]
`;

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-review-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(review: string, env: Record<string, string> = {}): Promise<Config> {
  await writeFile(join(folder, "depositd.yaml"), `${review}\n${CHAINS}`);
  return readConfig({ file: "depositd.yaml", env, cwd: folder });
}

async function faultsOf(review: string): Promise<string[]> {
  const error = await read(review).then(() => undefined, coerceError);
  if (!(error instanceof ConfigInvalidError)) throw error ?? new Error("The config was taken");
  return error.faults.map((fault) => `${fault.path}: ${fault.message}`);
}

describe("the review part of a config", () => {
  it("holds nothing where it is left out, and asks for one operator", async () => {
    const { review } = await read("");
    expect(review).toEqual({ fourEyes: false, limits: [], senderLists: [], screening: null });
  });

  it("gives each asset its limit in its own base units, the chain's own before that of the currency", async () => {
    const { review } = await read(
      `review: { limits: [{ currency: USDT, over: "10000.5" }, { currency: USDT, chain: 56, over: "1" }] }`,
    );
    expect(review.limits).toEqual([
      {
        chainId: 1,
        token: USDT.toLowerCase(),
        currency: "USDT",
        decimals: 6,
        overBaseUnits: 10_000_500_000n,
      },
      {
        chainId: 56,
        token: USDT.toLowerCase(),
        currency: "USDT",
        decimals: 18,
        overBaseUnits: 1_000_000_000_000_000_000n,
      },
    ]);
  });

  it("finds lists beside the working directory, and has a schedule for a service", async () => {
    const { review } = await read(
      `review: { fourEyes: true, senderLists: [lists/bad.csv], screening: { url: "https://host/screen?a=b", secret: "\${KEY}" } }`,
      { KEY: SECRET },
    );
    expect(review).toMatchObject({
      fourEyes: true,
      senderLists: [join(folder, "lists/bad.csv")],
      screening: { timeoutMs: 10_000, onNoAnswer: "hold", secret: SECRET.slice("whsec_".length) },
    });
    expect(review.screening?.scheduleMs[0]).toBe(0);
  });

  it("tells every limit that could never hold anything, or whose amount is none", async () => {
    expect(
      await faultsOf(
        `review: { limits: [
          { currency: USDC, over: "1" }, { currency: ETH, chain: 56, over: "1" }, { currency: ETH, chain: 5, over: "1" },
          { currency: USDT, over: "0.0000001" }, { currency: USDT, over: "1" }, { currency: ETH, over: 5 } ] }`,
      ),
    ).toEqual([
      "review.limits[0].currency: no chain lists USDC",
      "review.limits[1].currency: chain 56 does not list ETH",
      "review.limits[2].chain: chain 5 is not configured",
      'review.limits[3].over: expected an amount such as "12.5", with at most 6 digits after the point, got "0.0000001"',
      "review.limits[4].currency: this limit stands here a second time",
      'review.limits[5].over: expected an amount in quotes, such as "0.001", got 5',
    ]);
  });

  it("never shows the secret of the screening service, be it wrong", async () => {
    const wrong = await faultsOf(
      `review: { screening: { url: "http://user:pass@host/", secret: "hunter2hunter2" } }`,
    );
    expect(wrong).toEqual([
      'review.screening.secret: it has to be "whsec_" and the base64 of 24 to 64 random bytes (openssl rand -base64 32)',
      "review.screening.url: expected a URL that begins with http:// or https://, without user name, password or #fragment, " +
        'got "http://host"',
    ]);
    const screened = await read(
      `review: { screening: { url: "https://host/key-in-path", secret: "${SECRET}" } }`,
    );
    const shown = JSON.stringify([
      describeConfig(screened),
      compareConfigs(await read(""), screened),
      describeConfig(await read("")),
    ]);
    expect(shown).not.toContain(SECRET.slice("whsec_".length));
    expect(shown).not.toContain("key-in-path");
    expect(shown).toContain("(hidden)");
  });

  it("takes effect without a restart", async () => {
    const changes = compareConfigs(await read(""), await read(`review: { fourEyes: true }`));
    expect(changes).toEqual([{ path: "review.fourEyes", from: "false", to: "true", needsRestart: false }]);
  });
});
