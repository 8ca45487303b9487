import { afterEach, describe, expect, it } from "vitest";
import { attempt, createEgressRig } from "../testing/egress.ts";
import { TEST_CERTIFICATE } from "../testing/tls.ts";
import { waitFor } from "../testing/wait-for.ts";
import { createHostResolver } from "./resolve-host.ts";

const rig = createEgressRig();
afterEach(() => rig.clear());

describe("the guard", () => {
  it.each([
    "https://127.0.0.1:PORT/",
    "https://2130706433:PORT/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[::1]:PORT/",
    "http://127.0.0.1:PORT/",
  ])("G7: never connects to %s", async (url) => {
    const internal = await rig.sink({ tls: true });
    const by = rig.egress({ allowPrivateTargets: false, ca: TEST_CERTIFICATE });
    const outcome = await attempt(by, url.replace("PORT", String(internal.port)));
    expect(outcome).toMatchObject({ httpStatus: null, error: "invalid_url" });
    expect(internal.connectionCount()).toBe(0);
  });

  it("G7: never connects to a name that leads to private addresses only", async () => {
    const internal = await rig.sink({ tls: true });
    const { server } = await rig.nameServer(() => ["127.0.0.1", "169.254.169.254", "10.0.0.1"]);
    const by = rig.egress({
      allowPrivateTargets: false,
      ca: TEST_CERTIFICATE,
      resolve: createHostResolver([server]),
    });
    expect(await attempt(by, `https://merchant.test:${internal.port}/`)).toMatchObject({
      error: "blocked_address",
    });
    const local = rig.egress({ allowPrivateTargets: false, ca: TEST_CERTIFICATE });
    expect(await attempt(local, `https://localhost:${internal.port}/`)).toMatchObject({
      error: "blocked_address",
    });
    expect(internal.connectionCount()).toBe(0);
  });

  // In these tests 127.0.0.2 plays a public address, so that nothing leaves this machine.
  const isAllowedAddress = (address: string) => address === "127.0.0.2";

  it("G7: dials only the allowed ones of a name's addresses", async () => {
    const merchant = await rig.sink({ tls: true, host: "127.0.0.2" });
    const internal = await rig.sink({ tls: true, port: merchant.port });
    const { server } = await rig.nameServer(() => ["127.0.0.1", "127.0.0.2"]);
    const by = rig.egress({
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
    const merchant = await rig.sink({ tls: true, host: "127.0.0.2" });
    const internal = await rig.sink({ tls: true, port: merchant.port });
    const names = await rig.nameServer((_name, count) => (count === 0 ? ["127.0.0.2"] : ["127.0.0.1"]));
    const by = rig.egress({
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
    const internal = await rig.sink({ tls: true });
    let looks = 0;
    // The lookup's look lets it pass, the peer's look does not: as if the connection had led elsewhere.
    const by = rig.egress({
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
    const internal = await rig.sink();
    const merchant = await rig.sink({ tls: true, host: "127.0.0.2" });
    merchant.answer({ status: 307, headers: { location: `${internal.url}/admin` } });
    const by = rig.egress({
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
    const merchant = await rig.sink({ tls: true, host: "127.0.0.2" });
    const names = await rig.nameServer((name) => (name === "merchant.test" ? ["127.0.0.2"] : "silent"));
    const by = rig.egress({
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
    const { server } = await rig.nameServer(() => "unknown");
    const by = rig.egress({ allowPrivateTargets: false, resolve: createHostResolver([server]) });
    expect(await attempt(by, "https://gone.test/")).toMatchObject({ error: "dns", errorCode: "ENOTFOUND" });
  });
});
