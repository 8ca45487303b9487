/** All nodes of a chain gone at once, while the chain goes on. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reset } from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

describe("all nodes of a chain", () => {
  let rig: Rig;
  const proxies: NodeProxy[] = [];
  beforeAll(async () => {
    rig = await startRig({
      nodes: async (anvil) => {
        for (let index = 0; index < 2; index++) proxies.push(await startNodeProxy(anvil.url));
        return proxies.map(({ url, wsUrl }) => ({ url, ws: wsUrl }));
      },
    });
  });
  afterAll(async () => {
    await rig.stop();
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  });

  it("C13: may go, and leave a branch meanwhile; once they are back all is caught up and nothing is lost", {
    timeout: 180_000,
  }, async () => {
    const alice = await rig.watch("alice");
    const bob = await rig.watch("bob");
    const payments = await rig.anvil.signAll(
      [1n, 2n, 3n].map((coins) => ({ from: rig.anvil.account(5), to: alice, valueWei: coins * ETHER })),
    );
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: payments }]);
    await rig.caughtUp();

    for (const proxy of proxies) {
      proxy.lie(reset());
      proxy.cutConnections();
    }
    await waitFor(async () => (await rig.daemon.readyz()).status === 503, {
      timeoutMs: 60_000,
      what: "/readyz to say that the chain is not followed",
    });
    await rig.anvil.mineBranch(point, [{}, { transactions: payments.slice(0, 2) }]);
    for (let block = 0; block < 100; block++) {
      if (block % 10 === 0) await rig.anvil.transferToken(rig.token, bob, 1_000_000n);
      await rig.anvil.mine();
    }

    for (const proxy of proxies) proxy.tellTruth();
    await rig.mineDeep(120_000);
    expect(await rig.summaryOf("alice")).toEqual(
      expect.arrayContaining(["unlocked 1 ETH", "unlocked 2 ETH", "orphaned 3 ETH"]),
    );
    expect(await rig.balancesOf("bob")).toEqual({ USDT: [0n, 10_000_000n] });
    await expectAgreement(rig, { alice, bob });
  });
});
