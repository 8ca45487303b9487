import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { coerceError } from "../core/errors.ts";
import type { Config } from "../runtime/config/config.ts";
import { readConfig } from "../runtime/config/read-config.ts";
import { addressOf } from "../testing/factory.ts";
import { assertSenderLists, checkReview } from "./sender-list-checks.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-list-checks-"));
  await writeFile(join(folder, "good.txt"), addressOf("mallory"));
  await writeFile(join(folder, "bad.csv"), `address\n${addressOf("trudy")}\n0x12\n`);
});
afterAll(() => rm(folder, { recursive: true }));

async function configOf(review: string): Promise<Config> {
  await writeFile(
    join(folder, "depositd.yaml"),
    `review: ${review}\nchains: [{ id: 1, nodes: [{ url: "http://127.0.0.1:1" }] }]`,
  );
  return readConfig({ file: "depositd.yaml", env: {}, cwd: folder });
}

it("tells every list that a start would refuse, each at its place in the config", async () => {
  await assertSenderLists(await configOf("{ senderLists: [good.txt] }"));
  const config = await configOf("{ senderLists: [bad.csv, good.txt, gone.txt] }");
  expect(await assertSenderLists(config).catch(coerceError)).toMatchObject({
    code: "config_invalid",
    faults: [
      {
        path: "review.senderLists[0]",
        message: `The sender list ${folder}/bad.csv cannot be taken: line 3: it must be 0x and 40 hexadecimal digits`,
      },
      {
        path: "review.senderLists[2]",
        message: `The sender list ${folder}/gone.txt cannot be read: there is no such file`,
      },
    ],
  });
});

it("shows in doctor how long each list is, what is wrong with one, and a service whose silence is taken for yes", async () => {
  const screening = `{ url: "http://127.0.0.1:9000/secret-path", secret: "whsec_${"A".repeat(43)}=", onNoAnswer: approve }`;
  const findings = await checkReview(
    await configOf(`{ senderLists: [good.txt, bad.csv], screening: ${screening} }`),
  );
  expect(findings.map(({ part, level, found }) => [part, level, found])).toEqual([
    ["sender list", "ok", `${folder}/good.txt: 1 addresses`],
    ["sender list", "fail", expect.stringContaining("line 3")],
    ["screening", "warn", "http://127.0.0.1:9000/…: what it does not answer about is credited"],
  ]);
  expect(await checkReview(await configOf("{}"))).toEqual([]);
});
