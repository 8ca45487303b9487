import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { appendEvents } from "../outbox/event-store.ts";
import { insertDeliveries } from "../testing/callbacks.ts";
import { type ClaimRig, createClaimRig, delivered } from "../testing/claims.ts";
import { insertDepositRow } from "../testing/deposit-rows.ts";
import { hashOf, MERCHANT_ID, seedChain } from "../testing/factory.ts";
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

  it("hold what was told of one deposit, by state and endpoint and page, and nothing for another merchant", async () => {
    await seedChain(rig.database);
    await rig.insertEndpoints("end_a", "end_b");
    await rig.database.query("UPDATE endpoints SET events = '{deposit.pending,deposit.credited}'");
    for (const id of ["dep_a", "dep_b"]) await insertDepositRow(rig.database, id);
    for (const [sequence, type] of [
      [1, "deposit.pending"],
      [2, "deposit.credited"],
    ] as const)
      for (const depositId of ["dep_a", "dep_b"]) {
        const place = { blockNumber: 1n, blockHash: hashOf("block"), body: "{}" };
        const event = { merchantId: MERCHANT_ID, type, depositId, sequence, ...place };
        await rig.database.transaction((tx) => appendEvents(tx, [event]));
      }
    await rig.record((await rig.claim({ limit: 1 })).map(delivered));
    const list = (filter: Partial<Parameters<typeof listDeliveries>[1]>) =>
      listDeliveries(rig.database, { merchantId: MERCHANT_ID, limit: 10, depositId: "dep_a", ...filter });
    const all = await list({});
    expect(all.map(({ depositId }) => depositId)).toEqual(Array(4).fill("dep_a"));
    expect(all.map(({ eventType }) => eventType).sort()).toEqual([
      ...Array(2).fill("deposit.credited"),
      ...Array(2).fill("deposit.pending"),
    ]);
    expect(await list({ endpointId: "end_b" })).toHaveLength(2);
    const inAll = [...(await list({ state: "due" })), ...(await list({ state: "delivered" }))];
    expect(inAll.map(({ id }) => id).sort()).toEqual(all.map(({ id }) => id).sort());
    expect(await list({ limit: 1, before: all[2]?.id ?? "" })).toEqual([all[3]]);
    expect(await list({ merchantId: "mer_other" })).toEqual([]);
  });

  it("hold what was told of one order", async () => {
    await rig.insertEndpoints("end_a");
    await rig.database.query("UPDATE endpoints SET events = '{order.paid}'");
    const event = { merchantId: MERCHANT_ID, sequence: 1, body: "{}", type: "order.paid" } as const;
    await rig.database.transaction((tx) =>
      appendEvents(tx, [
        { ...event, orderId: "ord_a" },
        { ...event, orderId: "ord_b" },
      ]),
    );
    const list = (filter: Partial<Parameters<typeof listDeliveries>[1]>) =>
      listDeliveries(rig.database, { merchantId: MERCHANT_ID, limit: 10, orderId: "ord_a", ...filter });
    expect(await list({})).toMatchObject([{ eventType: "order.paid", orderId: "ord_a", depositId: null }]);
    expect(await list({ state: "failed" })).toEqual([]);
    expect(await list({ depositId: "dep_a" })).toEqual([]);
    expect(await list({ merchantId: "mer_other" })).toEqual([]);
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
