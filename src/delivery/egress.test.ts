import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { startHttpProxy } from "../testing/http-proxy.ts";
import { type NameServer, startNameServer, type Zone } from "../testing/name-server.ts";
import { type Sink, startSink } from "../testing/sink.ts";
import { TEST_CERTIFICATE, TEST_CERTIFICATE_KEY } from "../testing/tls.ts";
import { waitFor } from "../testing/wait-for.ts";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import { createEgress, type Egress, type EgressOptions } from "./egress.ts";
import { readProxyUrl } from "./egress-proxy.ts";
import { createHostResolver } from "./resolve-host.ts";

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function sink(options: Parameters<typeof startSink>[0] = {}): Promise<Sink> {
  const started = await startSink(options);
  opened.push(started);
  return started;
}

function egress(options: Partial<EgressOptions> = {}): Egress {
  const created = createEgress({
    allowPrivateTargets: true,
    clock: systemClock,
    ...options,
  });
  opened.push({ close: () => created.destroy() });
  return created;
}

async function nameServer(zone: Zone): Promise<NameServer> {
  const started = await startNameServer(zone);
  opened.push(started);
  return started;
}

function attempt(by: Egress, url: string, timeoutMs = 5_000): Promise<AttemptOutcome> {
  return by.attempt({ url, headers: { "content-type": "application/json" }, body: '{"a":1}', timeoutMs });
}

describe("an attempt", () => {
  it("posts the body as it is, and tells what was answered", async () => {
    const merchant = await sink();
    merchant.answer({ status: 200, body: "thanks ✓" });
    const outcome = await attempt(egress(), `${merchant.url}/hook?token=1`);
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
    const merchant = await sink();
    const by = egress();
    for (let round = 0; round < 20; round++) await attempt(by, merchant.url);
    expect(merchant.requests).toHaveLength(20);
    // Two: the first is still winding up its answer when the second request is made.
    expect(merchant.connectionCount()).toBeLessThanOrEqual(2);
  });

  it("G3: is a timeout when the answer comes too late, and takes no longer than its limit", async () => {
    const merchant = await sink();
    merchant.answer({ delayMs: 3_000 });
    const outcome = await attempt(egress(), merchant.url, 200);
    expect(outcome).toMatchObject({ httpStatus: null, error: "timeout", responseBody: null });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(195);
    expect(outcome.durationMs).toBeLessThan(1_500);
  });

  it("G3: is a timeout when the endpoint hangs", async () => {
    const merchant = await sink();
    merchant.answer({ trouble: "hang" });
    expect(await attempt(egress(), merchant.url, 200)).toMatchObject({ httpStatus: null, error: "timeout" });
  });

  it("blames itself, not the endpoint, when this process was frozen beyond the limit", async () => {
    const merchant = await sink();
    merchant.answer({ trouble: "hang" });
    let frozenMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + frozenMs };
    const outcome = attempt(egress({ clock }), merchant.url, 200);
    await merchant.received(1);
    frozenMs = 20_000;
    expect(await outcome).toMatchObject({ httpStatus: null, error: "local" });
  });

  it("G3: does not follow a redirect: a failure, with the status kept", async () => {
    const elsewhere = await sink();
    const merchant = await sink();
    for (const status of [301, 302, 307, 308]) {
      merchant.answer({ status, headers: { location: elsewhere.url } });
      expect(await attempt(egress(), merchant.url)).toMatchObject({ httpStatus: status, error: "redirect" });
    }
    expect(elsewhere.connectionCount()).toBe(0);
  });

  it.each([400, 401, 404, 410, 500, 503])("G3: is a failure when answered %i", async (status) => {
    const merchant = await sink();
    merchant.answer({ status, body: "no" });
    expect(await attempt(egress(), merchant.url)).toMatchObject({
      httpStatus: status,
      error: "status",
      responseBody: "no",
    });
  });

  it("G3: reads how long to wait from a 429, in seconds or as a date", async () => {
    const merchant = await sink();
    merchant.answer({ status: 429, headers: { "retry-after": "120" } });
    expect(await attempt(egress(), merchant.url)).toMatchObject({
      error: "status",
      httpStatus: 429,
      retryAfterMs: 120_000,
    });
    const inTenMinutes = new Date(systemClock.now() + 600_000).toUTCString();
    merchant.answer({ status: 429, headers: { "retry-after": inTenMinutes } });
    const { retryAfterMs } = await attempt(egress(), merchant.url);
    expect(Math.abs((retryAfterMs ?? 0) - 600_000)).toBeLessThan(5_000);
  });

  it("G3: is a TLS failure at a self-signed certificate, and where no TLS is spoken", async () => {
    const selfSigned = await sink({ tls: true });
    expect(await attempt(egress(), selfSigned.url)).toMatchObject({
      httpStatus: null,
      error: "tls",
      errorCode: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
    const plain = await sink();
    expect(await attempt(egress(), plain.url.replace("http:", "https:"))).toMatchObject({ error: "tls" });
    expect(selfSigned.requests).toHaveLength(0);
    expect(plain.requests).toHaveLength(0);
  });

  it("G3: stops reading a body that never ends; the 2xx before it counts", async () => {
    const merchant = await sink();
    merchant.answer({ status: 200, trouble: "endless-body" });
    const outcome = await attempt(egress(), merchant.url);
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
    const merchant = await sink();
    merchant.answer({ status: 200, headers: { "content-length": "104857600" }, trouble: "endless-body" });
    expect((await attempt(egress(), merchant.url)).responseBody).toBe("(not kept: 104857600 bytes long)");
    const bomb = gzipSync(Buffer.alloc(1_000_000)).toString("latin1");
    merchant.answer({ status: 500, headers: { "content-encoding": "gzip" }, body: bomb });
    expect(await attempt(egress(), merchant.url)).toMatchObject({
      error: "status",
      responseBody: "(not kept: compressed, although identity was asked for)",
    });
  });

  it("G3: counts a 2xx whose body hangs", async () => {
    const merchant = await sink();
    merchant.answer({ status: 200, trouble: "hang-body", body: "half" });
    const outcome = await attempt(egress(), merchant.url, 300);
    expect(outcome).toMatchObject({ httpStatus: 200, error: null, responseBody: "half (cut short)" });
    expect(outcome.durationMs).toBeLessThan(1_500);
  });

  it("keeps nothing in an answer that the database would refuse", async () => {
    const merchant = await sink();
    merchant.answer({ status: 200, body: "a\0b" });
    expect((await attempt(egress(), merchant.url)).responseBody).toBe("a\uFFFDb");
  });

  it("tells a refused, a broken and a strange connection apart", async () => {
    const merchant = await sink();
    merchant.answer({ trouble: "reset" });
    expect(await attempt(egress(), merchant.url)).toMatchObject({ error: "reset" });
    merchant.answer({ trouble: "garbage" });
    expect(await attempt(egress(), merchant.url)).toMatchObject({ error: "protocol" });
    await merchant.close();
    expect(await attempt(egress(), merchant.url)).toMatchObject({
      error: "refused",
      errorCode: "ECONNREFUSED",
    });
    opened.splice(opened.indexOf(merchant), 1);
  });

  it("sends nothing any more when its time was over before there was a connection", async () => {
    const merchant = await sink();
    const held: (() => void)[] = [];
    const resolve = () =>
      new Promise<{ address: string; family: number }[]>((done) =>
        held.push(() => done([{ address: "127.0.0.1", family: 4 }])),
      );
    const outcome = await attempt(egress({ resolve }), `http://merchant.test:${merchant.port}/`, 100);
    expect(outcome).toMatchObject({ error: "timeout", httpStatus: null });
    for (const letThrough of held) letThrough();
    await attempt(egress(), merchant.url);
    expect(merchant.requests).toHaveLength(1);
  });

  it("makes as many at once as it is asked for, none behind another", async () => {
    const merchant = await sink();
    merchant.answer({ trouble: "hang" });
    const by = egress();
    const all = Array.from({ length: 30 }, () => attempt(by, merchant.url, 2_000));
    await merchant.received(30);
    await by.destroy();
    await Promise.all(all);
  });

  it("tells what its time went on: name, connection, TLS, first byte; on a kept connection the last alone", async () => {
    const merchant = await sink({ tls: true });
    merchant.answer({ delayMs: 60 });
    const resolve = async () => {
      await systemClock.sleep(40);
      return [{ address: "127.0.0.1", family: 4 }];
    };
    const by = egress({ resolve, ca: TEST_CERTIFICATE });
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
    const selfSigned = await sink({ tls: true });
    const { phases } = await attempt(egress(), selfSigned.url);
    expect(phases).toMatchObject({ dnsMs: null, firstByteMs: null });
    for (const each of [phases.connectMs, phases.tlsMs]) expect(each).toBeGreaterThanOrEqual(0);
  });

  it("G3: has limits of its own for the connection, the headers and the body", async () => {
    const merchant = await sink();
    const limits = { connectTimeoutMs: 200, headersTimeoutMs: 200, bodyTimeoutMs: 200 };
    const by = egress({ limits });
    merchant.answer({ trouble: "hang" });
    expect(await attempt(by, merchant.url, 60_000)).toMatchObject({ error: "timeout", httpStatus: null });
    merchant.answer({ status: 200, trouble: "hang-body", body: "half" });
    expect(await attempt(by, merchant.url, 60_000)).toMatchObject({
      httpStatus: 200,
      responseBody: "half (cut short)",
    });
    const unresolved = egress({ limits, resolve: () => new Promise(() => undefined) });
    expect(await attempt(unresolved, "http://merchant.test/", 60_000)).toMatchObject({ error: "timeout" });
  });

  it("ends at once when the egress is destroyed, and blames nobody else", async () => {
    const merchant = await sink();
    merchant.answer({ trouble: "hang" });
    const by = egress();
    const pending = attempt(by, merchant.url);
    await merchant.received(0);
    await waitFor(() => merchant.connectionCount() === 1);
    await by.destroy();
    expect(await pending).toMatchObject({ error: "local", httpStatus: null });
  });
});

describe("the guard", () => {
  it.each([
    "https://127.0.0.1:PORT/",
    "https://2130706433:PORT/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[::1]:PORT/",
    "http://127.0.0.1:PORT/",
  ])("G7: never connects to %s", async (url) => {
    const internal = await sink({ tls: true });
    const by = egress({ allowPrivateTargets: false, ca: TEST_CERTIFICATE });
    const outcome = await attempt(by, url.replace("PORT", String(internal.port)));
    expect(outcome).toMatchObject({ httpStatus: null, error: "invalid_url" });
    expect(internal.connectionCount()).toBe(0);
  });

  it("G7: never connects to a name that leads to private addresses only", async () => {
    const internal = await sink({ tls: true });
    const { server } = await nameServer(() => ["127.0.0.1", "169.254.169.254", "10.0.0.1"]);
    const by = egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: createHostResolver([server]),
    });
    expect(await attempt(by, `https://merchant.test:${internal.port}/`)).toMatchObject({
      error: "blocked_address",
    });
    const local = egress({ allowPrivateTargets: false, ca: TEST_CERTIFICATE });
    expect(await attempt(local, `https://localhost:${internal.port}/`)).toMatchObject({
      error: "blocked_address",
    });
    expect(internal.connectionCount()).toBe(0);
  });

  // In these tests 127.0.0.2 plays a public address, so that nothing leaves this machine.
  const isAllowedAddress = (address: string) => address === "127.0.0.2";

  it("G7: dials only the allowed ones of a name's addresses", async () => {
    const merchant = await sink({ tls: true, host: "127.0.0.2" });
    const internal = await sink({ tls: true, port: merchant.port });
    const { server } = await nameServer(() => ["127.0.0.1", "127.0.0.2"]);
    const by = egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: createHostResolver([server]),
      isAllowedAddress,
    });
    expect(await attempt(by, `https://merchant.test:${merchant.port}/`)).toMatchObject({
      error: null,
      httpStatus: 204,
    });
    expect([merchant.requests.length, internal.connectionCount()]).toEqual([1, 0]);
  });

  it("G7: a name that rebinds to a private address between two attempts is not connected to", async () => {
    const merchant = await sink({ tls: true, host: "127.0.0.2" });
    const internal = await sink({ tls: true, port: merchant.port });
    const names = await nameServer((_name, count) => (count === 0 ? ["127.0.0.2"] : ["127.0.0.1"]));
    const by = egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: createHostResolver([names.server]),
      isAllowedAddress,
    });
    merchant.answer({ headers: { connection: "close" } });
    const url = `https://merchant.test:${merchant.port}/`;
    expect(await attempt(by, url)).toMatchObject({ error: null });
    expect(await attempt(by, url)).toMatchObject({ error: "blocked_address", httpStatus: null });
    expect(names.asked.get("merchant.test")).toBe(2);
    expect(internal.connectionCount()).toBe(0);
  });

  it("G7: sends not one byte when the connected peer is not allowed after all", async () => {
    const internal = await sink({ tls: true });
    let looks = 0;
    // The lookup's look lets it pass, the peer's look does not: as if the connection had led elsewhere.
    const by = egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: async () => [{ address: "127.0.0.1", family: 4 }],
      isAllowedAddress: () => looks++ === 0,
    });
    expect(await attempt(by, `https://merchant.test:${internal.port}/`)).toMatchObject({
      error: "blocked_address",
    });
    expect(looks).toBe(2);
    expect(internal.requests).toHaveLength(0);
  });

  it("G7: a redirect to a private address is not followed", async () => {
    const internal = await sink();
    const merchant = await sink({ tls: true, host: "127.0.0.2" });
    merchant.answer({ status: 307, headers: { location: `${internal.url}/admin` } });
    const by = egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: async () => [{ address: "127.0.0.2", family: 4 }],
      isAllowedAddress,
    });
    expect(await attempt(by, `https://merchant.test:${merchant.port}/`)).toMatchObject({
      error: "redirect",
      httpStatus: 307,
    });
    expect(internal.connectionCount()).toBe(0);
  });

  it("G4: names whose name servers are silent do not hold up the others", async () => {
    const merchant = await sink({ tls: true, host: "127.0.0.2" });
    const names = await nameServer((name) => (name === "merchant.test" ? ["127.0.0.2"] : "silent"));
    const by = egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: createHostResolver([names.server]),
      isAllowedAddress,
    });
    const dead = Array.from({ length: 20 }, (_, n) => attempt(by, `https://dead${n}.merchant.test/`, 1_000));
    await waitFor(() => names.asked.size === 20);
    const outcome = await attempt(by, `https://merchant.test:${merchant.port}/`);
    expect(outcome.error).toBe(null);
    expect(outcome.durationMs).toBeLessThan(900);
    for (const each of await Promise.all(dead)) expect(each.error).toBe("timeout");
  });

  it("says dns when the name does not exist", async () => {
    const { server } = await nameServer(() => "unknown");
    const by = egress({ allowPrivateTargets: false, resolve: createHostResolver([server]) });
    expect(await attempt(by, "https://gone.test/")).toMatchObject({ error: "dns", errorCode: "ENOTFOUND" });
  });
});

describe("an egress proxy", () => {
  async function proxied(options: Partial<EgressOptions> = {}) {
    const proxy = await startHttpProxy();
    opened.push(proxy);
    return { proxy, by: egress({ proxy: readProxyUrl(proxy.url), ...options }) };
  }

  it("carries http and https, and is told the address that was checked", async () => {
    const [plain, secure] = [await sink(), await sink({ tls: true })];
    const resolve = async () => [{ address: "127.0.0.1", family: 4 }];
    const { proxy, by } = await proxied({ resolve, ca: TEST_CERTIFICATE });
    for (const url of [`${plain.url}/a`, `https://merchant.test:${secure.port}/b`])
      expect(await attempt(by, url)).toMatchObject({ error: null, httpStatus: 204 });
    expect(proxy.asked).toEqual([`127.0.0.1:${plain.port}`, `127.0.0.1:${secure.port}`]);
    expect(secure.requests[0]?.path).toBe("/b");
  });

  it("G7: is asked for no address that is not public, whatever the name says", async () => {
    const { server } = await nameServer(() => ["127.0.0.1", "10.0.0.1"]);
    const { proxy, by } = await proxied({
      allowPrivateTargets: false,
      resolve: createHostResolver([server]),
    });
    expect(await attempt(by, "https://merchant.test/")).toMatchObject({ error: "blocked_address" });
    expect(await attempt(by, "https://169.254.169.254/")).toMatchObject({ error: "invalid_url" });
    expect(proxy.asked).toEqual([]);
  });

  it.each(["407 Proxy Authentication Required", "403 Forbidden", "500 Broken", "503 Busy"])(
    "is itself to blame when it answers %s",
    async (answer) => {
      const merchant = await sink();
      const { proxy, by } = await proxied();
      proxy.refuse(answer);
      expect(await attempt(by, merchant.url)).toMatchObject({
        error: "proxy",
        errorCode: `PROXY_${answer.slice(0, 3)}`,
        httpStatus: null,
      });
    },
  );

  it.each([
    "502 Bad Gateway",
    "504 Gateway Timeout",
    "503 Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111",
  ])("tells with %s that it could not reach the merchant", async (answer) => {
    const merchant = await sink();
    const { proxy, by } = await proxied();
    proxy.refuse(answer);
    expect(await attempt(by, merchant.url)).toMatchObject({ error: "unreachable", httpStatus: null });
  });

  it("is to blame when it is not there, and the merchant when the proxy waits for it in vain", async () => {
    const merchant = await sink();
    const gone = await sink();
    await gone.close();
    opened.splice(opened.indexOf(gone), 1);
    expect(await attempt(egress({ proxy: readProxyUrl(gone.url) }), merchant.url)).toMatchObject({
      error: "proxy",
      errorCode: "ECONNREFUSED",
    });
    const { proxy, by } = await proxied();
    proxy.refuse("hang");
    expect(await attempt(by, merchant.url, 300)).toMatchObject({ error: "timeout" });
  });
});

describe("a client certificate", () => {
  it("is shown where the endpoint asks for one", async () => {
    const merchant = await sink({ tls: true, clientCa: TEST_CERTIFICATE });
    const url = merchant.url;
    const without = await attempt(egress({ ca: TEST_CERTIFICATE }), url);
    expect(without.error).not.toBe(null);
    const clientCertificate = { cert: TEST_CERTIFICATE, key: TEST_CERTIFICATE_KEY };
    expect(await attempt(egress({ ca: TEST_CERTIFICATE, clientCertificate }), url)).toMatchObject({
      error: null,
    });
    expect(merchant.requests).toHaveLength(1);
  });
});
