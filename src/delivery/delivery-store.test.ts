import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { insertDeliveries } from "../testing/callbacks.ts";
import { type ClaimRig, createClaimRig, delivered, only } from "../testing/claims.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { countBacklog, listDeliveries } from "./delivery-list-store.ts";
import { failDeliveriesOfDeletedEndpoints } from "./delivery-store.ts";

let rig: ClaimRig;
beforeAll(async () => {
  rig = await createClaimRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());

describe("deleted endpoints", () => {
  it("have their due deliveries failed, but for those under way", async () => {
    await rig.insertEndpoints("end_a", "end_b");
    await insertDeliveries(rig.database, ["end_a", "end_b"], 3);
    const underWay = only(await rig.claim({ limit: 1 }));
    await rig.database.query("UPDATE endpoints SET deleted_at = now() WHERE id = 'end_a'");
    expect(await failDeliveriesOfDeletedEndpoints(rig.database, 100)).toBe(2);
    expect((await rig.record([delivered(underWay)])).deliveryIds.size).toBe(1);
    const states = await listDeliveries(rig.database, {
      merchantId: MERCHANT_ID,
      endpointId: "end_a",
      limit: 10,
    });
    expect(states.map(({ state }) => state).sort()).toEqual(["delivered", "failed", "failed"]);
    expect(await countBacklog(rig.database)).toMatchObject({ dueNow: 3, held: 0, waiting: 0 });
  });
});
