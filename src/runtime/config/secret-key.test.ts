import { writeFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemRandom } from "../random.ts";
import type { Config } from "./config.ts";
import { readConfig } from "./read-config.ts";
import { loadSecretKey } from "./secret-key.ts";

const HEX = "ab".repeat(32);

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-key-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function configWith(databaseUrl: string): Promise<Config> {
  const file = join(folder, "depositd.yaml");
  const chain = 'chains: [{ id: 1, nodes: [{ url: "http://node" }] }]';
  await writeFile(file, `database: { url: "${databaseUrl}" }\ndataDir: ${folder}/data\n${chain}\n`);
  return readConfig({ file, env: {}, cwd: folder });
}

test("takes the key from the environment", async () => {
  const key = await loadSecretKey(
    await configWith("postgres://db/d"),
    { DEPOSITD_SECRET_KEY: HEX },
    systemRandom,
  );
  expect(key.toString("hex")).toBe(HEX);
});

test("makes a key file that only its owner can read, once, for the embedded database", async () => {
  const config = await configWith("");
  const keys = await Promise.all([1, 2, 3].map(() => loadSecretKey(config, {}, systemRandom)));
  const later = await loadSecretKey(config, {}, systemRandom);

  expect(new Set([...keys, later].map((key) => key.toString("hex"))).size).toBe(1);
  expect(later).toHaveLength(32);
  expect((await stat(join(folder, "data/secret.key"))).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder, "data"))).toEqual(["secret.key"]);
});

test("takes the key that another process made in the same moment", async () => {
  const config = await configWith("");
  const random = {
    ...systemRandom,
    bytes: (length: number) => {
      writeFileSync(join(folder, "data/secret.key"), HEX);
      return systemRandom.bytes(length);
    },
  };
  expect((await loadSecretKey(config, {}, random)).toString("hex")).toBe(HEX);
});

test("is missing for a database elsewhere", async () => {
  await expect(loadSecretKey(await configWith("postgres://db/d"), {}, systemRandom)).rejects.toMatchObject({
    code: "secret_key_missing",
  });
});

test("refuses a key that is too short, and leaves a damaged key file as it is", async () => {
  const config = await configWith("");
  await expect(loadSecretKey(config, { DEPOSITD_SECRET_KEY: "abcd" }, systemRandom)).rejects.toMatchObject({
    code: "secret_key_wrong",
  });

  await loadSecretKey(config, {}, systemRandom);
  const file = join(folder, "data/secret.key");
  await writeFile(file, "damaged");
  await expect(loadSecretKey(config, {}, systemRandom)).rejects.toMatchObject({ code: "secret_key_wrong" });
  expect(await readFile(file, "utf8")).toBe("damaged");
});
