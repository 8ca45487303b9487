import { afterEach, describe, expect, it } from "vitest";
import { attempt, createEgressRig } from "../testing/egress.ts";
import { startHttpProxy } from "../testing/http-proxy.ts";
import { TEST_CERTIFICATE, TEST_CERTIFICATE_KEY } from "../testing/tls.ts";
import type { EgressOptions } from "./egress.ts";
import { readProxyUrl } from "./egress-proxy.ts";
import { createHostResolver } from "./resolve-host.ts";

const rig = createEgressRig();
afterEach(() => rig.clear());

describe("an egress proxy", () => {
  async function proxied(options: Partial<EgressOptions> = {}) {
    const proxy = await startHttpProxy();
    rig.afterwards(proxy);
    return { proxy, by: rig.egress({ proxy: readProxyUrl(proxy.url), ...options }) };
  }

  it("carries http and https, and is told the address that was checked", async () => {
    const [plain, secure] = [await rig.sink(), await rig.sink({ tls: true })];
    const resolve = async () => [{ address: "127.0.0.1", family: 4 }];
    const { proxy, by } = await proxied({ resolve, ca: TEST_CERTIFICATE });
    for (const url of [`${plain.url}/a`, `https://merchant.test:${secure.port}/b`])
      expect(await attempt(by, url)).toMatchObject({ error: null, httpStatus: 204 });
    expect(proxy.asked).toEqual([`127.0.0.1:${plain.port}`, `127.0.0.1:${secure.port}`]);
    expect(secure.requests[0]?.path).toBe("/b");
  });

  it("G7: is asked for no address that is not public, whatever the name says", async () => {
    const { server } = await rig.nameServer(() => ["127.0.0.1", "10.0.0.1"]);
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
      const merchant = await rig.sink();
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
    const merchant = await rig.sink();
    const { proxy, by } = await proxied();
    proxy.refuse(answer);
    expect(await attempt(by, merchant.url)).toMatchObject({ error: "unreachable", httpStatus: null });
  });

  it("is to blame when it is not there, and the merchant when the proxy waits for it in vain", async () => {
    const merchant = await rig.sink();
    const gone = await rig.sink();
    await gone.close();
    rig.forget(gone);
    expect(await attempt(rig.egress({ proxy: readProxyUrl(gone.url) }), merchant.url)).toMatchObject({
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
    const merchant = await rig.sink({ tls: true, clientCa: TEST_CERTIFICATE });
    const url = merchant.url;
    const without = await attempt(rig.egress({ ca: TEST_CERTIFICATE }), url);
    expect(without.error).not.toBe(null);
    const clientCertificate = { cert: TEST_CERTIFICATE, key: TEST_CERTIFICATE_KEY };
    expect(await attempt(rig.egress({ ca: TEST_CERTIFICATE, clientCertificate }), url)).toMatchObject({
      error: null,
    });
    expect(merchant.requests).toHaveLength(1);
  });
});
