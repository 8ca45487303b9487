import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { readConfig } from "../runtime/config/read-config.ts";
import { startHttpProxy, type TestProxy } from "../testing/http-proxy.ts";
import { TEST_CERTIFICATE, TEST_CERTIFICATE_KEY } from "../testing/tls.ts";
import { checkCallbacks } from "./callbacks-checks.ts";

let folder: string;
let proxy: TestProxy;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-callbacks-checks-"));
  await writeFile(join(folder, "shop.crt"), TEST_CERTIFICATE);
  await writeFile(join(folder, "shop.key"), TEST_CERTIFICATE_KEY);
  proxy = await startHttpProxy();
});
afterAll(async () => {
  await proxy.close();
  await rm(folder, { recursive: true });
});

async function check(callbacks: string, clock = systemClock) {
  const text = `callbacks: ${callbacks}\nchains: [{ id: 1, nodes: [{ url: "http://127.0.0.1:1" }] }]`;
  await writeFile(join(folder, "depositd.yaml"), text);
  const config = await readConfig({ file: "depositd.yaml", env: {}, cwd: folder });
  return (await checkCallbacks({ config, clock })).map(({ part, level, found }) => [part, level, found]);
}

it("looks at nothing where neither is configured", async () => {
  expect(await check("{}")).toEqual([]);
});

it.each([
  ["403 Forbidden", "ok", "answers"],
  ["502 Bad Gateway", "ok", "answers"],
  ["407 Proxy Authentication Required", "fail", "wants other credentials: PROXY_407"],
])("takes a proxy that answers %s to a place that nobody has for %s", async (answer, level, found) => {
  proxy.refuse(answer);
  const url = proxy.url.replace("//", "//user:secret@");
  const [[, said, text] = []] = await check(`{ proxy: "${url}" }`);
  expect([said, text]).toEqual([level, expect.stringContaining(found)]);
  expect(text).not.toContain("secret");
});

it("says of a proxy that is not there, and of one that is none, what came of it", async () => {
  const gone = await startHttpProxy();
  await gone.close();
  expect(await check(`{ proxy: "${gone.url}" }`)).toEqual([
    ["egress proxy", "fail", `${gone.url}: ECONNREFUSED`],
  ]);
  const tls = proxy.url.replace("http:", "https:");
  expect(await check(`{ proxy: "${tls}" }`)).toEqual([
    ["egress proxy", "fail", expect.stringContaining(`${tls}: `)],
  ]);
});

it("looks at the certificate: whether it can be used, and how long", async () => {
  const files = "{ clientCertificate: { certFile: shop.crt, keyFile: shop.key } }";
  expect(await check(files)).toEqual([["client cert", "ok", "Valid until 2120-01-01"]]);
  const at = (time: string) => ({ ...systemClock, now: () => Date.parse(time) });
  expect(await check(files, at("2119-12-25T00:00:00Z"))).toEqual([
    ["client cert", "warn", "Valid until 2120-01-01"],
  ]);
  expect(await check(files, at("2121-01-01T00:00:00Z"))).toEqual([
    ["client cert", "fail", "Valid until 2120-01-01"],
  ]);
  expect(await check("{ clientCertificate: { certFile: shop.crt, keyFile: gone.key } }")).toEqual([
    ["client cert", "fail", expect.stringContaining("no such file")],
  ]);
});
