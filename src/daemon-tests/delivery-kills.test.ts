import { afterAll, beforeAll, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { deliverAcrossKills } from "./delivery-kills.ts";
import { describeOnEachQueue } from "./queue-backends.ts";

const KILLS = 6;

describeOnEachQueue("a flow of deliveries", (backend) => {
  let test: TestDatabase;
  let redisUrl: string | null;
  beforeAll(async () => {
    redisUrl = await backend.start();
    test = await createTestDatabase();
  });
  afterAll(async () => {
    await test.drop();
    await backend.stop();
  });

  it("G2: loses none across kills, and repeats only under the same id", { timeout: 240_000 }, async () => {
    expect(await deliverAcrossKills({ test, redisUrl, kills: KILLS, seed: 5 })).toBeGreaterThan(0);
  });
});
