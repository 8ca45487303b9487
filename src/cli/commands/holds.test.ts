import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase } from "../../testing/database.ts";
import { createProgramRig, type ProgramRig } from "../../testing/depositd.ts";
import { MERCHANT_ID } from "../../testing/factory.ts";
import { createTestHolds } from "../../testing/holds.ts";

let rig: ProgramRig;
beforeAll(async () => {
  rig = await createProgramRig();
});
afterAll(() => rig.drop());

describe("holds", () => {
  test("are listed, released by two operators whose keys are in the environment, and written into the audit log", async () => {
    const own = await createTestDatabase();
    try {
      const holds = await createTestHolds(own);
      const [held, other] = [await holds.hold(), await holds.hold()];
      const file = await rig.configFile("holds.yaml", {
        database: { url: own.url },
        review: { fourEyes: true },
      });
      const config = ["--config", file, "--json"];
      const keyOf = async (...args: string[]) => {
        const made = await rig.depositd(["key", "create", MERCHANT_ID, ...args, ...config]);
        return { DEPOSITD_OPERATOR_KEY: (JSON.parse(made.stdout) as { apiKey: string }).apiKey };
      };
      const ann = await keyOf("--operator", "--name", "ann");
      const bob = await keyOf("--operator", "--name", "bob");
      const release = (env: Record<string, string>, ...more: string[]) =>
        rig.depositd(["hold", "release", held.id, "--note", "known", ...more, ...config], env);

      const unnamed = await release({});
      expect(unnamed).toMatchObject({ exitCode: 1, stdout: "" });
      expect(JSON.parse(unnamed.stderr)).toMatchObject({ error: { code: "operator_required" } });
      expect((await release(await keyOf())).stderr).toContain("forbidden");
      expect(JSON.parse((await release(ann)).stdout)).toMatchObject({ outcome: "proposed" });
      expect((await release(ann)).stderr).toContain("second_operator_required");

      const listed = await rig.depositd(["hold", "list", "--config", file]);
      expect(listed.stdout).toMatch(new RegExp(`^${held.id} .* release by operator:ann$`, "m"));
      const status = await rig.depositd(["status", ...config]);
      expect(JSON.parse(status.stdout)).toMatchObject({
        holds: [{ depositId: held.id, proposals: [{ actor: "operator:ann" }] }, { depositId: other.id }],
      });

      expect((await release(bob, "--sequence", "1")).stderr).toContain("deposit_changed");
      expect(JSON.parse((await release(bob)).stdout)).toMatchObject({ outcome: "released", isNew: true });
      expect(JSON.parse((await release(ann)).stdout)).toMatchObject({ outcome: "released", isNew: false });
      const reject = await rig.depositd(["hold", "reject", held.id, "--note", "no", ...config], ann);
      expect(reject.exitCode).toBe(1);
      expect(reject.stderr).toContain("review_decided");
      expect((await rig.depositd(["hold", "release", held.id, ...config])).exitCode).toBe(2);
      expect((await rig.depositd(["hold", "release", held.id, "--note", "", ...config])).exitCode).toBe(2);

      const log = await rig.depositd(["audit", "list", ...config]);
      const { items } = JSON.parse(log.stdout) as {
        items: { actor: string; action: string; hash: string }[];
      };
      expect(items.map(({ actor, action }) => `${actor.replace(/^cli:.*/, "cli:…")} ${action}`)).toEqual([
        ...Array(3).fill("cli:… key.create"),
        "operator:ann deposit.propose_release",
        "operator:bob deposit.release",
      ]);
      const head = items.at(-1)?.hash ?? "";
      const verify = (...more: string[]) => rig.depositd(["verify", "--books-only", ...more, ...config]);
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
