import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { attempt, createEgressRig } from "../testing/egress.ts";
import { TEST_CERTIFICATE } from "../testing/tls.ts";
import { waitFor } from "../testing/wait-for.ts";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import type { Egress } from "./egress.ts";

const rig = createEgressRig();
afterEach(() => rig.clear());

describe("an attempt", () => {
  it("posts the body as it is, and tells what was answered", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 200, body: "thanks ✓" });
    const outcome = await attempt(rig.egress(), `${merchant.url}/hook?token=1`);
    expect(outcome).toMatchObject({
      httpStatus: 200,
      error: null,
      responseBody: "thanks ✓",
      retryAfterMs: null,
    });
    const [request] = merchant.requests;
    expect(request).toMatchObject({ method: "POST", path: "/hook?token=1" });
    expect(request?.body.toString()).toBe('{"a":1}');
    expect(request?.headers).toMatchObject({ "content-type": "application/json", "content-length": "7" });
  });

  it("keeps connections for the next ones", async () => {
    const merchant = await rig.sink();
    const by = rig.egress();
    for (let round = 0; round < 20; round++) await attempt(by, merchant.url);
    expect(merchant.requests).toHaveLength(20);
    // Two: the first is still winding up its answer when the second request is made.
    expect(merchant.connectionCount()).toBeLessThanOrEqual(2);
  });

  it("may be begun from within the outcome of the one before, and then goes over its connection", async () => {
    const merchant = await rig.sink();
    const outcomes = await attemptInTurn(rig.egress(), merchant.url, 20);
    expect(outcomes.map(({ httpStatus }) => httpStatus)).toEqual(Array(20).fill(204));
    expect(merchant.connectionCount()).toBe(1);
  });

  it("opens a new connection, and says so, for one that follows at an endpoint that closes after each answer", async () => {
    const merchant = await rig.sink();
    merchant.answer({ headers: { connection: "close" } });
    const outcomes = await attemptInTurn(rig.egress(), merchant.url, 5);
    expect(outcomes.map(({ error }) => error)).toEqual(Array(5).fill(null));
    expect(outcomes.map(({ phases }) => typeof phases.connectMs)).toEqual(Array(5).fill("number"));
    expect(merchant.connectionCount()).toBe(5);
  });

  it("G3: loses nothing at an endpoint that closes after each answer without saying so", async () => {
    const url = await serve((request, response) => response.end(() => request.socket.destroy()));
    const outcomes = await attemptInTurn(rig.egress(), url, 20);
    expect(outcomes.map(({ error }) => error)).toEqual(Array(20).fill(null));
  });

  it("G3: is sent twice at most when connections break: over a kept one, then over a new one", async () => {
    let count = 0;
    const url = await serve((request, response) => {
      count += 1;
      if (count === 1) response.end();
      else request.socket.destroy();
    });
    const outcomes = await attemptInTurn(rig.egress(), url, 2);
    expect(outcomes.map(({ error }) => error)).toEqual([null, "reset"]);
    expect(count).toBe(3);
  });

  it("G3: is a timeout when the answer comes too late, and takes no longer than its limit", async () => {
    const merchant = await rig.sink();
    merchant.answer({ delayMs: 3_000 });
    const outcome = await attempt(rig.egress(), merchant.url, 200);
    expect(outcome).toMatchObject({ httpStatus: null, error: "timeout", responseBody: null });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(195);
    expect(outcome.durationMs).toBeLessThan(1_500);
  });

  it("G3: takes an answer that comes late, within its limit", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 200, delayMs: 800 });
    const outcome = await attempt(rig.egress(), merchant.url, 29_000);
    expect(outcome).toMatchObject({ httpStatus: 200, error: null });
    expect(outcome.phases.firstByteMs).toBeGreaterThanOrEqual(790);
  });

  it("G3: is a timeout when the endpoint hangs", async () => {
    const merchant = await rig.sink();
    merchant.answer({ trouble: "hang" });
    expect(await attempt(rig.egress(), merchant.url, 200)).toMatchObject({
      httpStatus: null,
      error: "timeout",
    });
  });

  it("blames itself, not the endpoint, when this process was frozen beyond the limit", async () => {
    const merchant = await rig.sink();
    merchant.answer({ trouble: "hang" });
    let frozenMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + frozenMs };
    const outcome = attempt(rig.egress({ clock }), merchant.url, 200);
    await merchant.received(1);
    frozenMs = 20_000;
    expect(await outcome).toMatchObject({ httpStatus: null, error: "local" });
  });

  it("G3: does not follow a redirect: a failure, with the status kept", async () => {
    const elsewhere = await rig.sink();
    const merchant = await rig.sink();
    for (const status of [301, 302, 307, 308]) {
      merchant.answer({ status, headers: { location: elsewhere.url } });
      expect(await attempt(rig.egress(), merchant.url)).toMatchObject({
        httpStatus: status,
        error: "redirect",
      });
    }
    expect(elsewhere.connectionCount()).toBe(0);
  });

  it.each([400, 401, 404, 410, 500, 503])("G3: is a failure when answered %i", async (status) => {
    const merchant = await rig.sink();
    merchant.answer({ status, body: "no" });
    expect(await attempt(rig.egress(), merchant.url)).toMatchObject({
      httpStatus: status,
      error: "status",
      responseBody: "no",
    });
  });

  it("G3: reads how long to wait from a 429, in seconds or as a date", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 429, headers: { "retry-after": "120" } });
    expect(await attempt(rig.egress(), merchant.url)).toMatchObject({
      error: "status",
      httpStatus: 429,
      retryAfterMs: 120_000,
    });
    const inTenMinutes = new Date(systemClock.now() + 600_000).toUTCString();
    merchant.answer({ status: 429, headers: { "retry-after": inTenMinutes } });
    const { retryAfterMs } = await attempt(rig.egress(), merchant.url);
    expect(Math.abs((retryAfterMs ?? 0) - 600_000)).toBeLessThan(5_000);
  });

  it("G3: is a TLS failure at a self-signed certificate, and where no TLS is spoken", async () => {
    const selfSigned = await rig.sink({ tls: true });
    expect(await attempt(rig.egress(), selfSigned.url)).toMatchObject({
      httpStatus: null,
      error: "tls",
      errorCode: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
    const plain = await rig.sink();
    expect(await attempt(rig.egress(), plain.url.replace("http:", "https:"))).toMatchObject({ error: "tls" });
    expect(selfSigned.requests).toHaveLength(0);
    expect(plain.requests).toHaveLength(0);
  });

  it("G3: stops reading a body that never ends; the 2xx before it counts", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 200, trouble: "endless-body" });
    const outcome = await attempt(rig.egress(), merchant.url);
    expect(outcome).toMatchObject({
      httpStatus: 200,
      error: null,
      responseBody: "(not kept: longer than 65536 bytes)",
    });
    // What was poured into the sockets' buffers before the connection closed, and not 100 MB.
    const sent = await waitFor(async () => {
      const before = merchant.bytesSent();
      await systemClock.sleep(50);
      return merchant.bytesSent() === before ? before : undefined;
    });
    expect(sent).toBeLessThan(20_000_000);
  });

  it("G3: does not read a body that is announced as too long, nor a compressed one", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 200, headers: { "content-length": "104857600" }, trouble: "endless-body" });
    expect((await attempt(rig.egress(), merchant.url)).responseBody).toBe("(not kept: 104857600 bytes long)");
    const bomb = gzipSync(Buffer.alloc(1_000_000)).toString("latin1");
    merchant.answer({ status: 500, headers: { "content-encoding": "gzip" }, body: bomb });
    expect(await attempt(rig.egress(), merchant.url)).toMatchObject({
      error: "status",
      responseBody: "(not kept: compressed, although identity was asked for)",
    });
  });

  it("G3: counts a 2xx whose body hangs", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 200, trouble: "hang-body", body: "half" });
    const outcome = await attempt(rig.egress(), merchant.url, 300);
    expect(outcome).toMatchObject({ httpStatus: 200, error: null, responseBody: "half (cut short)" });
    expect(outcome.durationMs).toBeLessThan(1_500);
  });

  it("keeps nothing in an answer that the database would refuse", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 200, body: "a\0b" });
    expect((await attempt(rig.egress(), merchant.url)).responseBody).toBe("a\uFFFDb");
  });

  it("tells a refused, a broken and a strange connection apart", async () => {
    const merchant = await rig.sink();
    merchant.answer({ trouble: "reset" });
    expect(await attempt(rig.egress(), merchant.url)).toMatchObject({ error: "reset" });
    merchant.answer({ trouble: "garbage" });
    expect(await attempt(rig.egress(), merchant.url)).toMatchObject({ error: "protocol" });
    await merchant.close();
    expect(await attempt(rig.egress(), merchant.url)).toMatchObject({
      error: "refused",
      errorCode: "ECONNREFUSED",
    });
    rig.forget(merchant);
  });

  it("sends nothing any more when its time was over before there was a connection", async () => {
    const merchant = await rig.sink();
    const held: (() => void)[] = [];
    const resolve = () =>
      new Promise<{ address: string; family: number }[]>((done) =>
        held.push(() => done([{ address: "127.0.0.1", family: 4 }])),
      );
    const outcome = await attempt(rig.egress({ resolve }), `http://merchant.test:${merchant.port}/`, 100);
    expect(outcome).toMatchObject({ error: "timeout", httpStatus: null });
    for (const letThrough of held) letThrough();
    await attempt(rig.egress(), merchant.url);
    expect(merchant.requests).toHaveLength(1);
  });

  it("makes as many at once as it is asked for, none behind another", async () => {
    const merchant = await rig.sink();
    merchant.answer({ trouble: "hang" });
    const by = rig.egress();
    const all = Array.from({ length: 30 }, () => attempt(by, merchant.url, 2_000));
    await merchant.received(30);
    await by.destroy();
    await Promise.all(all);
  });

  it("tells what its time went on: name, connection, TLS, first byte; on a kept connection the last alone", async () => {
    const merchant = await rig.sink({ tls: true });
    merchant.answer({ delayMs: 60 });
    const resolve = async () => {
      await systemClock.sleep(40);
      return [{ address: "127.0.0.1", family: 4 }];
    };
    const by = rig.egress({ resolve, ca: TEST_CERTIFICATE });
    const url = `https://merchant.test:${merchant.port}/`;
    const first = await attempt(by, url);
    expect(first.error).toBe(null);
    const { dnsMs, connectMs, tlsMs, firstByteMs } = first.phases;
    expect(dnsMs).toBeGreaterThanOrEqual(38);
    expect(firstByteMs).toBeGreaterThanOrEqual(58);
    for (const each of [connectMs, tlsMs]) expect(each).toBeGreaterThanOrEqual(0);
    const sum = [dnsMs, connectMs, tlsMs, firstByteMs].reduce<number>((total, ms) => total + (ms ?? 0), 0);
    expect(sum).toBeLessThanOrEqual(first.durationMs + 4); // four roundings
    const { phases } = await attempt(by, url);
    expect(phases).toMatchObject({ dnsMs: null, connectMs: null, tlsMs: null });
    expect(phases.firstByteMs).toBeGreaterThanOrEqual(58);
  });

  it("tells how far it came when it failed", async () => {
    const selfSigned = await rig.sink({ tls: true });
    const { phases } = await attempt(rig.egress(), selfSigned.url);
    expect(phases).toMatchObject({ dnsMs: null, firstByteMs: null });
    for (const each of [phases.connectMs, phases.tlsMs]) expect(each).toBeGreaterThanOrEqual(0);
  });

  it("G3: has limits of its own for the connection, the headers and the body", async () => {
    const merchant = await rig.sink();
    const limits = { connectTimeoutMs: 200, headersTimeoutMs: 200, bodyTimeoutMs: 200 };
    const by = rig.egress({ limits });
    merchant.answer({ trouble: "hang" });
    expect(await attempt(by, merchant.url, 60_000)).toMatchObject({ error: "timeout", httpStatus: null });
    merchant.answer({ status: 200, trouble: "hang-body", body: "half" });
    expect(await attempt(by, merchant.url, 60_000)).toMatchObject({
      httpStatus: 200,
      responseBody: "half (cut short)",
    });
    const unresolved = rig.egress({ limits, resolve: () => new Promise(() => undefined) });
    expect(await attempt(unresolved, "http://merchant.test/", 60_000)).toMatchObject({ error: "timeout" });
  });

  it("ends at once when the egress is destroyed, and blames nobody else", async () => {
    const merchant = await rig.sink();
    merchant.answer({ trouble: "hang" });
    const by = rig.egress();
    const pending = attempt(by, merchant.url);
    await merchant.received(0);
    await waitFor(() => merchant.connectionCount() === 1);
    await by.destroy();
    expect(await pending).toMatchObject({ error: "local", httpStatus: null });
  });
});

/** Its URL; it ends with the test. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  rig.afterwards({ close: async () => void server.close() });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** Each is begun by the outcome of the one before. */
function attemptInTurn(by: Egress, url: string, count: number): Promise<AttemptOutcome[]> {
  const outcomes: AttemptOutcome[] = [];
  return new Promise((resolve) => {
    const next = () =>
      by.begin({ url, headers: {}, body: "{}", timeoutMs: 5_000 }, (outcome) => {
        outcomes.push(outcome);
        if (outcomes.length === count) resolve(outcomes);
        else next();
      });
    next();
  });
}
