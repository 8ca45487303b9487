/** Hints over a real node's WebSocket, through a proxy that can make it silent. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import { followNewHeads } from "./new-heads.ts";
import { parseNodeAddress } from "./node-address.ts";

let chain: Anvil;
let proxy: NodeProxy;
let stop = new AbortController();
let running: Promise<void> = Promise.resolve();
let seen: BlockHeader[] = [];

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual" });
  proxy = await startNodeProxy(chain.url);
});
afterEach(async () => {
  stop.abort();
  await running;
  proxy.silenceWebSockets(false);
});
afterAll(async () => {
  await proxy.stop();
  await chain.stop();
});

function follow(url: string, longestSilenceMs = 60_000): void {
  stop = new AbortController();
  seen = [];
  running = followNewHeads(
    {
      url,
      address: parseNodeAddress(url, ["ws:"]),
      clock: systemClock,
      logger: silentLogger,
      random: systemRandom,
      longestSilenceMs,
      onHead: (header) => seen.push(header),
    },
    stop.signal,
  );
}

/** Mines until a hint of one of these very blocks came. */
const hinted = () =>
  waitFor(
    async () => {
      const mined = await chain.mine();
      return await waitFor(() => seen.find((header) => header.hash === mined.hash), { timeoutMs: 300 }).catch(
        () => undefined,
      );
    },
    { timeoutMs: 20_000, what: "a hint" },
  );

describe("following new heads", () => {
  it("tells each new head with its number, hash and parent", async () => {
    follow(proxy.wsUrl);
    const hint = await hinted();
    expect(hint).toEqual(await chain.headerAt(hint.number));
  });

  it("C9: dials again when the connection is cut", async () => {
    follow(proxy.wsUrl);
    await hinted();
    proxy.cutConnections();
    await hinted();
  });

  it("C9: dials again when the socket stays open and says nothing", async () => {
    follow(proxy.wsUrl, 1_000);
    await hinted();
    const before = seen.length;
    proxy.silenceWebSockets(true);
    await chain.mine();
    // The silent connection is left; the one dialled after it speaks.
    await waitFor(() => proxy.openWebSockets() === 0, { what: "the silent socket to be left" });
    proxy.silenceWebSockets(false);
    await hinted();
    expect(seen.length).toBeGreaterThan(before);
    expect(proxy.openWebSockets()).toBe(1);
  });

  it("keeps trying where nobody listens, and stops when told", async () => {
    follow("ws://127.0.0.1:9");
    await systemClock.sleep(0);
    stop.abort();
    await running;
    expect(seen).toEqual([]);
  });

  it("opens sockets only while somebody listens, and leaves none open", async () => {
    const nodes = testNodes([{ url: proxy.url, wsUrl: proxy.wsUrl, maxConcurrency: null }]);
    const heads: BlockHeader[] = [];
    await waitFor(() => proxy.openWebSockets() === 0);
    const stopFirst = nodes.onHint((header) => heads.push(header));
    const stopSecond = nodes.onHint((header) => heads.push(header));
    await waitFor(async () => (await chain.mine()) && heads.length >= 2);
    expect(proxy.openWebSockets()).toBe(1);
    stopFirst();
    stopSecond();
    await waitFor(() => proxy.openWebSockets() === 0);
    await nodes.close();
  });
});
