import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { authenticateApiKey } from "../../merchants/api-key-store.ts";
import { createProgramRig, type ProgramRig } from "../../testing/depositd.ts";

let rig: ProgramRig;
beforeAll(async () => {
  rig = await createProgramRig();
});
afterAll(() => rig.drop());

describe("merchants and keys", () => {
  test("are made, shown once and revoked", async () => {
    const config = ["--config", await rig.configFile("keys.yaml"), "--json"];
    const created = await rig.depositd(["merchant", "create", "shop", ...config]);
    expect(created).toMatchObject({ exitCode: 0, stderr: "" });
    const merchant = JSON.parse(created.stdout) as { merchantId: string; apiKey: string };
    expect(Object.keys(merchant)).toEqual(["merchantId", "apiKey"]);
    const caller = { merchantId: merchant.merchantId, operator: false };
    expect(await authenticateApiKey(rig.db.database, merchant.apiKey)).toMatchObject(caller);

    const second = await rig.depositd(["key", "create", "shop", "--operator", ...config]);
    const key = JSON.parse(second.stdout) as { keyId: string; apiKey: string };
    expect(await authenticateApiKey(rig.db.database, key.apiKey)).toMatchObject({
      ...caller,
      operator: true,
    });

    expect(await rig.depositd(["key", "revoke", key.keyId, ...config])).toMatchObject({ exitCode: 0 });
    expect(await authenticateApiKey(rig.db.database, key.apiKey)).toBeUndefined();
  });

  test("are refused with exit code 1 when the name is taken or there is no such merchant", async () => {
    const config = ["--config", await rig.configFile("refused.yaml")];
    await rig.depositd(["merchant", "create", "taken", ...config]);
    const again = await rig.depositd(["merchant", "create", "taken", ...config]);
    expect(again).toMatchObject({ exitCode: 1, stdout: "" });
    expect(again.stderr).toBe('depositd: There is a merchant named "taken" already [name_taken]\n');
    const unknown = await rig.depositd(["key", "create", "nobody", "--json", ...config]);
    expect(unknown).toMatchObject({ exitCode: 1, stdout: "" });
    expect(JSON.parse(unknown.stderr)).toMatchObject({ error: { code: "not_found" } });
  });
});

describe("importing addresses", () => {
  test("registers those of a file, tells each line that cannot be taken, and may run again", async () => {
    const config = ["--config", await rig.configFile("import.yaml"), "--json"];
    await rig.depositd(["merchant", "create", "importer", ...config]);
    const file = join(rig.folder, "addresses.csv");
    const lines = Array.from({ length: 3_000 }, (_, n) => `0x${String(n).padStart(40, "0")},user ${n}`);
    await writeFile(file, ["address,userId", ...lines, "0x12,nobody"].join("\n"));
    const run = () => rig.depositd(["address", "import", file, "--merchant", "importer", ...config]);
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
    const config = ["--config", await rig.configFile("import-refused.yaml")];
    const run = (file: string) =>
      rig.depositd(["address", "import", file, "--merchant", "nobody", ...config]);
    expect(await run("no-such-file.csv")).toMatchObject({ exitCode: 2 });
    const file = join(rig.folder, "empty.csv");
    await writeFile(file, "");
    expect(await run(file)).toMatchObject({ exitCode: 1 });
  });
});
