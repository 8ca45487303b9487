/** What holds callbacks up and is not their endpoints': the egress proxy, the key of their secrets. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { insertDeliveries, insertEndpoint, testSecretBox } from "../testing/callbacks.ts";
import { createDelivererRig, type DelivererRig } from "../testing/deliverer.ts";
import { startHttpProxy, type TestProxy } from "../testing/http-proxy.ts";
import type { Sink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";

let rig: DelivererRig;
beforeAll(async () => {
  rig = await createDelivererRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());
afterEach(() => rig.clear());

/** What an operator sees, and what a debug log has of deliveries that were put off. */
function recordingLogger() {
  const seen: (Record<string, unknown> & { level: string; sentence: string })[] = [];
  const putOff: Record<string, unknown>[] = [];
  const at =
    (level: string) =>
    (sentence: string, fields: Record<string, unknown> = {}) => {
      if (level === "debug" && sentence === "Attempted delivery") putOff.push(fields);
      else if (sentence !== "Attempted delivery") seen.push({ level, sentence, ...fields });
      else if (fields["error_class"] !== null) seen.push({ level, sentence, ...fields });
    };
  const logger: Logger = {
    ...silentLogger,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    writes: () => true,
  };
  return { logger, seen, putOff };
}

/** The machine's clock, which can be put forward while nothing is under way. */
function clockPutForward() {
  let aheadMs = 0;
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs };
  return {
    clock,
    putForward: (ms: number) => {
      aheadMs += ms;
    },
  };
}

/** Each claim has a number, whatever came of it. */
async function countClaims(endpointId?: string): Promise<number> {
  const [row] = await rig.database.query<{ count: number }>(
    "SELECT coalesce(sum(attempt), 0)::integer AS count FROM due_deliveries WHERE $1::text IS NULL OR endpoint_id = $1",
    [endpointId ?? null],
  );
  return row?.count ?? -1;
}

async function expectNothingHeldAgainst(endpointIds: readonly string[], attempts: number): Promise<void> {
  expect(await rig.database.query("SELECT failures, paused_until, failing_since FROM endpoints")).toEqual(
    endpointIds.map(() => ({ failures: 0, paused_until: null, failing_since: null })),
  );
  const rows = await rig.database.query<{ count: bigint }>("SELECT count(*) AS count FROM delivery_attempts");
  expect(Number(rows[0]?.count)).toBe(attempts);
}

async function merchants(ids: readonly string[]): Promise<Sink[]> {
  const sinks: Sink[] = [];
  for (const id of ids) {
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url, id);
    sinks.push(merchant);
  }
  return sinks;
}

async function proxyAt(port = 0): Promise<TestProxy> {
  const proxy = await startHttpProxy(port);
  let isClosed = false;
  const close = async () => {
    if (!isClosed) await proxy.close();
    isClosed = true;
  };
  rig.afterwards(close);
  return { ...proxy, close };
}

const SHORTEST_PROBE_WAIT_MS = 200;
const ENDPOINTS = ["end_a", "end_b", "end_c"];

describe("an egress proxy that is away", () => {
  it("is probed with one delivery at a time and said in one line; all go out at once when it is back, no attempt used up", async () => {
    await merchants(ENDPOINTS);
    await insertDeliveries(rig.database, ENDPOINTS, 60);
    const gone = await proxyAt();
    await gone.close();
    const proxyUrl = gone.url.replace("//", "//user:p%40ss@");
    const { logger, seen, putOff } = recordingLogger();
    const by = rig.deliverer({ logger }, { proxyUrl });
    await by.drain();
    const [claims, attempts] = [await countClaims(), putOff.length];
    // Two of each endpoint were claimed before the first of them failed.
    expect(claims).toBeLessThanOrEqual(2 * ENDPOINTS.length);
    expect(by.health().proxyAway).toMatchObject({ proxy: gone.url, errorCode: "ECONNREFUSED" });

    for (let nudge = 0; nudge < 100; nudge++) by.nudge();
    await waitFor(() => putOff.length >= attempts + 3, { timeoutMs: 30_000 });
    await by.drain();
    const probes = putOff.length - attempts;
    expect(await countClaims()).toBe(claims + probes);
    expect(seen).toEqual([
      {
        level: "warn",
        sentence: "Lost the egress proxy; callbacks wait for it",
        proxy: gone.url,
        error_code: "ECONNREFUSED",
      },
    ]);
    const held = await rig.database.query("SELECT FROM due_deliveries WHERE claimed_until IS NOT NULL");
    expect(held).toEqual([]);
    await expectNothingHeldAgainst(ENDPOINTS, 0);

    const back = await proxyAt(Number(new URL(gone.url).port));
    // Nobody nudges: the probe that gets through is enough.
    const delivered = async () => {
      const states = await Promise.all(ENDPOINTS.map((id) => rig.states(id)));
      return states.every((each) => each["delivered"] === 60);
    };
    await waitFor(delivered, { timeoutMs: 30_000 });
    expect(seen.map(({ sentence }) => sentence).slice(1)).toEqual([
      "Reached the egress proxy again; callbacks go on",
    ]);
    expect(by.health().proxyAway).toBe(null);
    await expectNothingHeldAgainst(ENDPOINTS, 3 * 60);
    expect(back.authorizations).toContain(`Basic ${Buffer.from("user:p@ss").toString("base64")}`);
  });

  it("goes away in the middle of a flood: what was claimed ahead is handed back, and none is lost", async () => {
    const sinks = await merchants(ENDPOINTS);
    const proxy = await proxyAt();
    // No wait for a probe ends: what is handed back is so at once.
    const sleep = (ms: number, signal?: AbortSignal) =>
      systemClock.sleep(ms < SHORTEST_PROBE_WAIT_MS ? ms : 3_600_000, signal);
    const callbacks = { proxyUrl: proxy.url, scheduleMs: [0, 10, 10, 10, 10, 10, 10, 10] };
    const by = rig.deliverer({ clock: { ...systemClock, sleep } }, callbacks);
    const received = () => sinks.reduce((sum, { requests }) => sum + requests.length, 0);
    await insertDeliveries(rig.database, ENDPOINTS, 1_000);
    by.nudge();
    await waitFor(() => received() > 600);
    await proxy.close();
    await waitFor(() => by.health().proxyAway !== null, { timeoutMs: 30_000 });
    await waitFor(async () => {
      const held = await rig.database.query("SELECT FROM due_deliveries WHERE claimed_until > now()");
      return held.length === 0;
    });
    await by.stop();
    await proxyAt(Number(new URL(proxy.url).port));
    const next = rig.deliverer({}, callbacks);
    const isAllDelivered = async () => {
      next.nudge();
      const states = await Promise.all(ENDPOINTS.map((id) => rig.states(id)));
      return states.every((each) => each["delivered"] === 1_000);
    };
    await waitFor(isAllDelivered, { timeoutMs: 60_000 });
  });

  it("hands back what is held for an endpoint whose tunnels still stand, and attempts no more of it", async () => {
    const [standing] = await merchants(["end_a", "end_b"]);
    const proxy = await proxyAt();
    const sleep = (ms: number, signal?: AbortSignal) =>
      systemClock.sleep(ms < SHORTEST_PROBE_WAIT_MS ? ms : 3_600_000, signal);
    const callbacks = { proxyUrl: proxy.url, timeoutMs: 600_000 };
    const by = rig.deliverer({ clock: { ...systemClock, sleep } }, callbacks);
    // It has many attempts at once by then, and more claimed ahead.
    standing?.answer((_request, count) => (count < 400 ? {} : { trouble: "hang" }));
    await insertDeliveries(rig.database, ["end_a"], 800);
    by.nudge();
    const claimed = async () =>
      (await rig.database.query("SELECT FROM due_deliveries WHERE claimed_until > now()")).length;
    const underWay = () => (standing?.requests.length ?? 0) - 400;
    await waitFor(async () => underWay() > 2 && (await claimed()) > underWay());
    proxy.shutDoor();
    await insertDeliveries(rig.database, ["end_b"]);
    by.nudge();
    await waitFor(() => by.health().proxyAway !== null);
    await waitFor(async () => (await claimed()) === underWay());
  });

  it("that refuses one endpoint's address holds up that one alone, and says so in one line", async () => {
    const [refused] = await merchants(["end_a", "end_b"]);
    await insertDeliveries(rig.database, ["end_a", "end_b"], 30);
    const proxy = await proxyAt();
    proxy.refuse("403 Forbidden", `127.0.0.1:${refused?.port}`);
    const { logger, seen, putOff } = recordingLogger();
    const { clock, putForward } = clockPutForward();
    const by = rig.deliverer({ logger, clock }, { proxyUrl: proxy.url });
    await by.drain();
    expect(await rig.states("end_b")).toEqual({ delivered: 30 });
    expect(by.health()).toMatchObject({ proxyAway: null, refusedCount: 1 });
    const claims = await countClaims("end_a");
    expect(claims).toBeLessThanOrEqual(2);
    await by.drain();
    expect(await countClaims("end_a")).toBe(claims);

    putForward(10_000);
    await by.drain();
    expect(await countClaims("end_a")).toBe(claims + 1);
    expect(putOff).toHaveLength(claims + 1);
    expect(seen).toEqual([
      {
        level: "warn",
        sentence: "Was refused by the egress proxy; such callbacks wait",
        proxy: proxy.url,
        error_code: "PROXY_403",
        endpoint_id: "end_a",
      },
    ]);
    await expectNothingHeldAgainst(["end_a", "end_b"], 30);

    proxy.refuse(null);
    putForward(10_000);
    await by.drain();
    expect(await rig.states("end_a")).toEqual({ delivered: 30 });
    expect(seen.slice(1).map(({ sentence }) => sentence)).toEqual([
      "Was refused no more by the egress proxy",
    ]);
    expect(by.health().refusedCount).toBe(0);
  });

  it("uses up no attempt while the proxy wants other credentials, and delivers through it when it takes them", async () => {
    const [merchant] = await merchants(["end_a"]);
    await insertDeliveries(rig.database, ["end_a"], 3);
    const proxy = await proxyAt();
    proxy.refuse("407 Proxy Authentication Required");
    const { clock, putForward } = clockPutForward();
    const by = rig.deliverer({ clock }, { proxyUrl: proxy.url.replace("//", "//user:p%40ss@") });
    await by.drain();
    await expectNothingHeldAgainst(["end_a"], 0);
    expect(await rig.states("end_a")).toEqual({ due: 3 });
    proxy.refuse(null);
    putForward(10_000);
    await by.drain();
    expect(await rig.states("end_a")).toEqual({ delivered: 3 });
    expect(proxy.asked).toContain(`127.0.0.1:${merchant?.port}`);
    expect(proxy.authorizations).toContain(`Basic ${Buffer.from("user:p@ss").toString("base64")}`);
  });
});

describe("a secret key that does not open an endpoint's secret", () => {
  const otherBox = createSecretBox(Buffer.alloc(32, 9), systemRandom);

  async function sealUnderOther(endpointId: string): Promise<void> {
    const sealed = otherBox.seal(systemRandom.bytes(32));
    await rig.database.query("UPDATE endpoints SET secret = $2 WHERE id = $1", [endpointId, sealed]);
  }

  function watched(by: ReturnType<DelivererRig["deliverer"]>): void {
    const abort = new AbortController();
    const watching = by.watchSecrets(abort.signal);
    rig.afterwards(async () => {
      abort.abort();
      await watching;
    });
  }

  it("G6: holds up that endpoint alone, is said in one line, and delivers once the daemon has the key", async () => {
    const [, other] = await merchants(["end_a", "end_b"]);
    const { logger, seen, putOff } = recordingLogger();
    const { clock, putForward } = clockPutForward();
    const by = rig.deliverer({ logger, clock });
    watched(by);
    await waitFor(() => by.health().secrets !== null);
    expect(seen).toEqual([]);
    // Another process, with another key, seals it anew.
    await sealUnderOther("end_a");
    await insertDeliveries(rig.database, ["end_a", "end_b"], 40);
    await by.drain();
    expect(other?.requests).toHaveLength(40);
    await waitFor(() => by.health().secrets?.lost === 1);
    const claims = await countClaims("end_a");
    expect(claims).toBeLessThanOrEqual(2);
    await by.drain();
    putForward(60_000);
    await by.drain();
    expect(await countClaims("end_a")).toBe(claims + 1);
    // Of the first two the second was handed back.
    expect(putOff).toHaveLength(2);
    expect(seen).toEqual([
      {
        level: "error",
        sentence: "Found secrets of endpoints that cannot be opened; their callbacks wait",
        endpoint_count: 1,
        of_endpoints: 2,
        key_id: testSecretBox.keyId,
        wanted_key_ids: [otherBox.keyId],
        advice: "Set DEPOSITD_SECRET_KEY to the key of before, or name that in DEPOSITD_OLD_SECRET_KEYS.",
      },
    ]);
    await expectNothingHeldAgainst(["end_a", "end_b"], 40);

    await by.stop();
    await rig.letTimePass();
    const both = createSecretBox(Buffer.alloc(32, 7), systemRandom, [Buffer.alloc(32, 9)]);
    const next = rig.deliverer({ secretBox: both });
    await next.drain();
    expect(await rig.states("end_a")).toEqual({ delivered: 40 });
  });

  it("is found at the start, before anything is due", async () => {
    await merchants(["end_a"]);
    const { logger, seen } = recordingLogger();
    const by = rig.deliverer({ logger, secretBox: otherBox });
    watched(by);
    await waitFor(() => by.health().secrets !== null);
    expect(by.health().secrets).toEqual({ total: 1, old: 0, lost: 1, lostKeyIds: [testSecretBox.keyId] });
    expect(seen).toMatchObject([{ level: "error", key_id: otherBox.keyId }]);
  });
});
