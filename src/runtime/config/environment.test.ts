import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readEnvironment } from "./environment.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-env-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("adds .env to the environment, which wins over it", async () => {
  await writeFile(join(folder, ".env"), 'PATH=from-file\nDEPOSITD_TEST_ONLY="from file"\n');
  const env = await readEnvironment(folder);
  expect(env["DEPOSITD_TEST_ONLY"]).toBe("from file");
  expect(env["PATH"]).toBe(process.env["PATH"]);
});

test("does without a .env", async () => {
  expect((await readEnvironment(join(folder, "none")))["PATH"]).toBe(process.env["PATH"]);
});
