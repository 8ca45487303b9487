import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { insertDeliveries } from "../testing/callbacks.ts";
import {
  type ClaimRig,
  createClaimRig,
  delivered,
  GONE,
  only,
  perEndpoint,
  retried,
} from "../testing/claims.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import type { ClaimedDelivery } from "./claim-store.ts";
import { countBacklog, getDelivery, listDeliveries } from "./delivery-list-store.ts";
import { nextAttemptInMs } from "./delivery-store.ts";

let rig: ClaimRig;
beforeAll(async () => {
  rig = await createClaimRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());

describe("recordOutcomes", () => {
  it("ends what was delivered and logs the attempt", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 3);
    const claims = await rig.claim();
    const result = await rig.record(claims.map(delivered));
    expect(result.deliveryIds).toEqual(new Set(claims.map(({ deliveryId }) => deliveryId)));
    expect(result.disabled).toEqual([]);
    const [first] = claims;
    const { delivery, attempts } = await getDelivery(rig.database, MERCHANT_ID, first?.deliveryId ?? "");
    expect(delivery).toMatchObject({ state: "delivered", nextAttemptAt: null });
    expect(delivery.finishedAt).toBeInstanceOf(Date);
    expect(only(attempts)).toMatchObject({
      attempt: 1,
      durationMs: 5,
      httpStatus: 204,
      error: null,
      responseBody: "",
    });
    await rig.expireClaims();
    expect(await rig.claim()).toEqual([]);
  });

  it("G1: puts off what is to be tried again, and counts the failed attempt", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    await rig.record([retried(only(await rig.claim()), 60_000)]);
    expect(await rig.claim()).toEqual([]);
    const inMs = await nextAttemptInMs(rig.database);
    expect(inMs).toBeGreaterThan(55_000);
    expect(inMs).toBeLessThanOrEqual(60_000);
    await rig.database.query("UPDATE due_deliveries SET next_attempt_at = now()");
    expect(only(await rig.claim())).toMatchObject({ attempt: 2, failedBefore: 1 });
  });

  it("G1: keeps what failed for good, and lists it", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 2);
    const [first, second] = await rig.claim();
    if (first === undefined || second === undefined) throw new Error("nothing claimed");
    await rig.record([{ ...retried(first, 0), decision: { next: "failed" } }, delivered(second)]);
    const failed = await listDeliveries(rig.database, {
      merchantId: MERCHANT_ID,
      state: "failed",
      limit: 10,
    });
    expect(only(failed)).toMatchObject({ id: first.deliveryId, state: "failed", nextAttemptAt: null });
    expect(await listDeliveries(rig.database, { merchantId: "mer_other", limit: 10 })).toEqual([]);
  });

  it("H7: refuses the outcome of an attempt whose claim ran out and was taken by another", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    const frozen = only(await rig.claim());
    await rig.expireClaims();
    const taken = only(await rig.claim());
    expect(
      (await rig.record([{ ...delivered(frozen), decision: { next: "failed" } }])).deliveryIds.size,
    ).toBe(0);
    expect((await rig.record([delivered(taken)])).deliveryIds.size).toBe(1);
    expect((await rig.record([delivered(taken)])).deliveryIds.size).toBe(0);
    const { delivery, attempts } = await getDelivery(rig.database, MERCHANT_ID, taken.deliveryId);
    expect(delivery.state).toBe("delivered");
    expect(attempts).toHaveLength(1);
  });

  it("G3: disables an endpoint that is gone, and keeps what is due to it", async () => {
    await rig.insertEndpoints("end_a", "end_b");
    await insertDeliveries(rig.database, ["end_a", "end_b"], 2);
    const claims = await rig.claim({ limit: 2 });
    const outcomes = claims.map((each) =>
      each.endpointId === "end_a"
        ? { ...retried(each, 0), outcome: GONE, disablesEndpoint: true }
        : delivered(each),
    );
    expect((await rig.record(outcomes)).disabled).toMatchObject([{ id: "end_a", reason: "gone" }]);
    const [row] = await rig.database.query(
      "SELECT status, disabled_reason FROM endpoints WHERE id = 'end_a'",
    );
    expect(row).toEqual({ status: "disabled", disabled_reason: "gone" });
    expect(perEndpoint(await rig.claim())).toEqual({ end_b: 1 });
    expect(await countBacklog(rig.database)).toMatchObject({ held: 2 });
  });

  it("does not disable an endpoint for a 410 from the URL it had before", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    const claimed = only(await rig.claim());
    await rig.database.query("UPDATE endpoints SET url = 'https://moved.example/' WHERE id = 'end_a'");
    const recorded = await rig.record([{ ...retried(claimed, 0), outcome: GONE, disablesEndpoint: true }]);
    expect(recorded).toEqual({
      deliveryIds: new Set([claimed.deliveryId]),
      disabled: [],
      pausedEndpointIds: [],
    });
  });
});

describe("the breaker", () => {
  const endpoint = async () => {
    const [row] = await rig.database.query<{
      failures: number;
      pauses: number;
      paused_s: number | null;
      failing: boolean;
      status: string;
      disabled_reason: string | null;
    }>(
      `SELECT failures, pauses, extract(epoch FROM paused_until - now())::double precision AS paused_s,
         failing_since IS NOT NULL AS failing, status, disabled_reason FROM endpoints WHERE id = 'end_a'`,
    );
    return row;
  };
  const endPause = () =>
    rig.database.query("UPDATE endpoints SET paused_until = now() - interval '1 second'");
  const failed = (claimed: ClaimedDelivery) => retried(claimed, 60_000);

  it("G4: opens after five failures in a row, for 5, 10, 20, 40, 60, 60 seconds", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 40);
    await rig.record((await rig.claim({ limit: 4 })).map(failed));
    expect(await endpoint()).toMatchObject({ failures: 4, pauses: 0, paused_s: null, failing: true });
    const pauses: number[] = [];
    for (let opened = 1; opened <= 6; opened++) {
      const { pausedEndpointIds } = await rig.record((await rig.claim({ limit: 1 })).map(failed));
      expect(pausedEndpointIds).toEqual(["end_a"]);
      pauses.push(Math.round((await endpoint())?.paused_s ?? 0));
      expect(await rig.claim()).toEqual([]);
      await endPause();
    }
    expect(pauses).toEqual([5, 10, 20, 40, 60, 60]);
  });

  it("G4: lets one through when a pause is over, and all after a success", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 40);
    await rig.record((await rig.claim({ limit: 5 })).map(failed));
    await endPause();
    const probe = only(await rig.claim());
    expect(probe.isProbe).toBe(true);
    await rig.record([delivered(probe)]);
    expect(await endpoint()).toMatchObject({ failures: 0, pauses: 0, paused_s: null, failing: false });
    expect((await rig.claim({ limit: 20 })).map(({ isProbe }) => isProbe)).toEqual(Array(20).fill(false));
  });

  it("G4: uses up no attempts of what waits behind a pause", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 40);
    await rig.record((await rig.claim({ limit: 5 })).map(failed));
    expect(await rig.claim()).toEqual([]);
    const rows = await rig.database.query(
      "SELECT attempt, count(*)::integer AS count FROM due_deliveries GROUP BY 1 ORDER BY 1",
    );
    expect(rows).toEqual([
      { attempt: 0, count: 35 },
      { attempt: 1, count: 5 },
    ]);
    // Whoever waits for the next retry is told of the end of the pause too.
    expect(await nextAttemptInMs(rig.database)).toBeLessThan(7_000);
  });

  it("G3: is opened by one outcome that says so, for as long as it says, and by a success beside it not closed", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 3);
    const [first, second] = await rig.claim({ limit: 2 });
    if (first === undefined || second === undefined) throw new Error("nothing claimed");
    await rig.record([{ ...failed(first), pauseMs: 75_000 }, delivered(second)]);
    const { paused_s = 0, failing } = (await endpoint()) ?? {};
    expect(Math.round(paused_s ?? 0)).toBe(75);
    expect(failing).toBe(false);
    expect(await rig.claim()).toEqual([]);
  });

  it("G1: disables an endpoint that failed for days, told by an attempt that fails, and not by one long ago", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 3);
    const failingSince = (days: number, lastHoursAgo: number) =>
      rig.database.query(
        `UPDATE endpoints SET failing_since = now() - $1::integer * interval '1 day',
           last_failed_at = now() - $2::integer * interval '1 hour'`,
        [days, lastHoursAgo],
      );
    await failingSince(6, 48); // silent since: what failed then says nothing of now
    expect((await rig.record([failed(only(await rig.claim({ limit: 1 })))])).disabled).toEqual([]);
    expect(await endpoint()).toMatchObject({ status: "enabled", failing: true });
    await failingSince(4, 1);
    expect((await rig.record([failed(only(await rig.claim({ limit: 1 })))])).disabled).toEqual([]);
    await failingSince(6, 1);
    const { disabled } = await rig.record([failed(only(await rig.claim({ limit: 1 })))]);
    expect(disabled).toMatchObject([{ id: "end_a", merchantId: MERCHANT_ID, reason: "failing" }]);
    expect(await endpoint()).toMatchObject({ status: "disabled", disabled_reason: "failing" });
  });

  it("takes outcomes of two recorders at once, whatever their order, without a deadlock", async () => {
    const ids = ["end_a", "end_b", "end_c", "end_d"];
    await rig.insertEndpoints(...ids);
    await insertDeliveries(rig.database, ids, 30);
    const all = await rig.claim({ limit: 120, perEndpoint: 30 });
    const halves = [all.filter((_, n) => n % 2 === 0), all.filter((_, n) => n % 2 === 1).reverse()];
    for (let part = 0; part < 15; part++) {
      await Promise.all(halves.map((half) => rig.record(half.slice(part * 4, part * 4 + 4).map(failed))));
    }
    expect(await endpoint()).toMatchObject({ failures: 30 });
  });
});
