import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { insertDeliveries } from "../testing/callbacks.ts";
import { type ClaimRig, createClaimRig } from "../testing/claims.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { countBacklog, listDeliveries } from "./delivery-list-store.ts";

let rig: ClaimRig;
beforeAll(async () => {
  rig = await createClaimRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());

describe("lists", () => {
  it("page through a merchant's deliveries, newest first", async () => {
    await rig.insertEndpoints("end_a", "end_b");
    for (let n = 0; n < 4; n++) await insertDeliveries(rig.database, ["end_a", "end_b"]);
    const all = await listDeliveries(rig.database, { merchantId: MERCHANT_ID, limit: 100 });
    expect(all.map(({ id }) => id)).toEqual(
      all
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
    const paged = [];
    for (let before: string | undefined; ; before = paged.at(-1)?.id) {
      const page = await listDeliveries(rig.database, {
        merchantId: MERCHANT_ID,
        limit: 3,
        ...(before === undefined ? {} : { before }),
      });
      paged.push(...page);
      if (page.length < 3) break;
    }
    expect(paged).toEqual(all);
    expect(paged).toHaveLength(8);
  });

  it("say how much is due, since when, and how much waits", async () => {
    expect(await countBacklog(rig.database)).toEqual({ dueNow: 0, waiting: 0, held: 0, oldestDueAt: null });
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 3);
    await rig.database.query(
      `UPDATE due_deliveries SET next_attempt_at = now() + interval '1 hour'
       WHERE delivery_id = (SELECT min(delivery_id::text)::uuid FROM due_deliveries)`,
    );
    expect(await countBacklog(rig.database)).toMatchObject({
      dueNow: 2,
      waiting: 1,
      oldestDueAt: expect.any(Date),
    });
  });
});
