import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endDueDeliveries, insertDeliveries, insertEndpoint } from "../../testing/callbacks.ts";
import { createProgramRig, type ProgramRig } from "../../testing/depositd.ts";

let rig: ProgramRig;
beforeAll(async () => {
  rig = await createProgramRig();
});
afterAll(() => rig.drop());

describe("callbacks", () => {
  const key = (bytes: string) => ({ DEPOSITD_SECRET_KEY: bytes.repeat(32) });

  test("G1: are replayed by time and state, and what cannot be meant is refused", async () => {
    const config = ["--config", await rig.configFile("replay.yaml")];
    await insertEndpoint(rig.db.database, "https://shop.example/");
    await insertDeliveries(rig.db.database, ["end_test"], 3);
    await endDueDeliveries(rig.db.database, "failed");
    await insertDeliveries(rig.db.database, ["end_test"], 2);
    await endDueDeliveries(rig.db.database, "delivered");
    const replay = (...more: string[]) =>
      rig.depositd(["replay", "--endpoint", "end_test", ...more, ...config]);
    const done = await replay("--since", "1h", "--status", "failed", "--json");
    expect(JSON.parse(done.stdout)).toMatchObject({
      endpointId: "end_test",
      deliveries: 3,
      statuses: ["failed"],
    });
    const [row] = await rig.db.database.query("SELECT count(*)::integer AS due FROM due_deliveries");
    expect(row).toEqual({ due: 3 });
    expect(await replay("--since", "yesterday")).toMatchObject({ exitCode: 2 });
    expect(await replay("--since", "1h", "--until", "2h")).toMatchObject({ exitCode: 2 });
    expect(await replay("--since", "1h", "--status", "due")).toMatchObject({ exitCode: 2 });
    expect(
      await rig.depositd(["replay", "--endpoint", "end_none", "--since", "1h", ...config]),
    ).toMatchObject({
      exitCode: 1,
    });
  });

  test("G6: have their secrets sealed under a new key, with the old one at hand and not without", async () => {
    const config = ["--config", await rig.configFile("reseal.yaml")];
    const reseal = (env: Record<string, string>) =>
      rig.depositd(["secrets", "reseal", "--json", ...config], env);
    const old = { DEPOSITD_OLD_SECRET_KEYS: "07".repeat(32) };
    const doctor = async (env: Record<string, string>) => {
      const { stdout } = await rig.depositd(["doctor", "--json", ...config], env);
      const { findings } = JSON.parse(stdout) as {
        findings: { part: string; level: string; found: string }[];
      };
      return findings.filter(({ part }) => part === "secrets").map(({ level, found }) => [level, found]);
    };
    expect(await doctor(key("08"))).toEqual([["fail", expect.stringContaining("Those of 1 of 1 endpoints")]]);
    expect(await doctor({ ...key("08"), ...old })).toEqual([["warn", expect.stringContaining("an old key")]]);
    const without = await reseal(key("08"));
    expect(without.exitCode).not.toBe(0);
    expect(without.stderr).toContain("secret_key_wrong");
    expect(JSON.parse((await reseal({ ...key("08"), ...old })).stdout)).toEqual({ endpoints: 1 });
    expect(JSON.parse((await reseal(key("08"))).stdout)).toEqual({ endpoints: 0 });
    expect(await doctor(key("08"))).toEqual([["ok", expect.stringContaining("under this key")]]);
  });
});
