/** A fleet: each process has some of the roles, and all of them say how they are. */
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "./rig.ts";

const HTTP = { host: "127.0.0.1", port: 0 };

describe("a process without the role http", { timeout: 120_000 }, () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.stop());

  it("takes no port unasked, so that the one with the API may come second", async () => {
    const { daemon, config } = rig;
    const port = Number(new URL(await daemon.url()).port);
    await daemon.kill("SIGTERM");
    await daemon.configure({ ...config, more: { ...config.more, http: { ...HTTP, port } } });
    const first = await daemon.launch({}, ["--roles", "scan,settle,deliver"]);
    await first.line(({ msg }) => msg === "Started");
    const second = await daemon.launch({}, ["--roles", "http"]);
    await daemon.ready();
    expect(await second.kill("SIGTERM")).toMatchObject({ code: 0 });
    expect(await first.kill("SIGTERM")).toMatchObject({ code: 0 });
    await daemon.configure(config);
    await daemon.start();
  });

  it("serves health, readiness and metrics where it is told to, and no API", async () => {
    const { daemon, api, config } = rig;
    await daemon.kill("SIGTERM");
    await daemon.configure({ ...config, more: { ...config.more, http: { ...HTTP, pagesPort: 0 } } });
    await daemon.launch({}, ["--roles", "settle"]);
    await daemon.ready();
    const statusOf = async (path: string) => (await api.call("GET", path)).status;
    expect(await Promise.all(["/healthz", "/readyz", "/metrics"].map(statusOf))).toEqual([200, 200, 200]);
    expect(await Promise.all(["/v1/deposits", "/openapi.json"].map(statusOf))).toEqual([404, 404]);
    const { body } = await api.call<string>("GET", "/metrics");
    expect(body).toContain('depositd_chain_halted{chain_id="31337"} 0');
  });

  it("does its work without them where another process has the port, and says so", async () => {
    const { daemon, config } = rig;
    const port = Number(new URL(await daemon.url()).port);
    await daemon.kill("SIGTERM");
    const http = { ...HTTP, port, pagesPort: port };
    await daemon.configure({ ...config, more: { ...config.more, http } });
    const first = await daemon.launch();
    await daemon.ready();
    const second = await daemon.launch({}, ["--roles", "settle"]);
    await second.line(({ msg }) => msg === "Went on without pages about this process");
    await second.line(({ msg }) => msg === "Started");
    expect(second.isRunning()).toBe(true);
    const health = await request(`http://127.0.0.1:${port}/healthz`);
    await health.body.dump();
    expect(health.statusCode).toBe(200);
    expect(await second.kill("SIGTERM")).toMatchObject({ code: 0 });
    expect(await first.kill("SIGTERM")).toMatchObject({ code: 0 });
    await daemon.start();
  });
});
