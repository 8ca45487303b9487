/** What the daemon says and does while its callbacks cannot go out for a reason that is not their endpoints'. */
import { afterEach, describe, expect, it } from "vitest";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { startAnvil } from "../testing/anvil.ts";
import { insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { createDaemon, type Daemon } from "../testing/daemon.ts";
import { chainOf } from "../testing/daemon-config.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { startHttpProxy } from "../testing/http-proxy.ts";
import { startSink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";

/** What `insertEndpoint` seals secrets under, which is not the daemon's key. */
const OTHER_KEY = Buffer.alloc(32, 7);
const PATIENCE = { timeoutMs: 30_000 };

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const later = <Thing>(thing: Thing, cleanUp: (thing: Thing) => Promise<unknown>): Thing => {
  cleanUps.push(() => cleanUp(thing));
  return thing;
};

/** With an endpoint, and a delivery due to it. */
async function daemonWithDelivery(callbacks: Record<string, unknown>): Promise<[Daemon, TestDatabase]> {
  const anvil = later(await startAnvil({ mining: "manual" }), (each) => each.stop());
  const merchant = later(await startSink(), (each) => each.close());
  const test = later(await createTestDatabase(), (each) => each.drop());
  await insertEndpoint(test.database, merchant.url);
  await insertDeliveries(test.database, ["end_test"]);
  const more = { callbacks: { allowPrivateTargets: true, ...callbacks } };
  const config = { databaseUrl: test.url, redisUrl: null, chains: [chainOf(anvil)], more };
  return [later(await createDaemon(config), (each) => each.dispose()), test];
}

async function untilReadyzSays(daemon: Daemon, status: number, what: RegExp): Promise<void> {
  let said = "";
  const isSaid = async () => {
    const answer = await daemon.readyz();
    said = `${answer.status} ${JSON.stringify(answer.body)}`;
    return answer.status === status && what.test(said);
  };
  await waitFor(isSaid, PATIENCE).catch((cause: unknown) => {
    throw new Error(`/readyz never said ${what}, but ${said}`, { cause });
  });
}

const isDelivered = async ({ database }: TestDatabase) =>
  (await database.query("SELECT FROM deliveries WHERE state = 'delivered'")).length === 1;

function linesOf(daemon: Daemon, sentence: string) {
  return daemon.log().filter(({ msg }) => msg === sentence);
}

describe("a daemon whose secret key is not the one of before", () => {
  it("says so before anything else at /readyz, in status and in one line, and delivers once it has that key", async () => {
    const [daemon, test] = await daemonWithDelivery({});
    const keyId = createSecretBox(OTHER_KEY, systemRandom).keyId;
    await daemon.launch();
    const url = await daemon.url();
    await untilReadyzSays(
      daemon,
      503,
      new RegExp(
        `The secrets of 1 of 1 endpoints cannot be opened .*the key ${keyId}.*DEPOSITD_OLD_SECRET_KEYS`,
      ),
    );
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("depositd_endpoint_secrets_lost 1");
    expect((await daemon.command("status")).stdout).toMatch(/Callbacks wait: secrets: .*DEPOSITD_SECRET_KEY/);
    const [line, ...more] = linesOf(
      daemon,
      "Found secrets of endpoints that cannot be opened; their callbacks wait",
    );
    expect(line).toMatchObject({ level: "error", wanted_key_ids: [keyId] });
    expect(more).toEqual([]);
    expect(JSON.stringify(daemon.log())).not.toContain("Failed to sign a callback");

    await daemon.kill("SIGTERM");
    await daemon.start({ env: { DEPOSITD_SECRET_KEY: OTHER_KEY.toString("hex") } });
    await waitFor(() => isDelivered(test), PATIENCE);
  });
});

describe("a daemon whose egress proxy is away", () => {
  it("says so at /readyz, in /metrics, in status and in one line, and goes on by itself when it is back", async () => {
    const gone = await startHttpProxy();
    await gone.close();
    const proxy = gone.url.replace("//", "//user:hidden-word@");
    const [daemon, test] = await daemonWithDelivery({ proxy });
    await daemon.launch({ env: { DEPOSITD_SECRET_KEY: OTHER_KEY.toString("hex") } });
    const url = await daemon.url();
    await untilReadyzSays(
      daemon,
      503,
      new RegExp(`egress proxy ${gone.url} cannot be reached \\(ECONNREFUSED\\)`),
    );
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("depositd_egress_proxy_up 0");
    expect((await daemon.command("status")).stdout).toContain(
      `Callbacks wait: egress proxy: ${gone.url}: ECONNREFUSED`,
    );
    later(await startHttpProxy(Number(new URL(gone.url).port)), (each) => each.close());
    await daemon.ready();
    await waitFor(() => isDelivered(test), PATIENCE);
    for (const sentence of [
      "Lost the egress proxy; callbacks wait for it",
      "Reached the egress proxy again; callbacks go on",
    ])
      expect(linesOf(daemon, sentence)).toHaveLength(1);
    expect(JSON.stringify(daemon.log())).not.toContain("hidden-word");
  });
});
