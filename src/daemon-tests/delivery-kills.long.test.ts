import { afterAll, beforeAll, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { deliverAcrossKills } from "./delivery-kills.ts";
import { describeOnEachQueue } from "./queue-backends.ts";

describeOnEachQueue("a long flow of deliveries", (backend) => {
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

  it("G2: loses none across a hundred kills, and repeats only under the same id", {
    timeout: 3_600_000,
  }, async () => {
    expect(await deliverAcrossKills({ test, redisUrl, kills: 100, seed: 100 })).toBeGreaterThan(0);
  });
});
