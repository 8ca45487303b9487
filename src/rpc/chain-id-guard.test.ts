/** A node that turns out to be of another chain, at first or later. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import * as lies from "../testing/lies.ts";
import { type ProxiedNodes, startProxiedNodes } from "../testing/proxied-nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import { createHttpTransport } from "./http-transport.ts";
import { parseNodeAddress } from "./node-address.ts";

let rig: ProxiedNodes;
beforeAll(async () => {
  rig = await startProxiedNodes();
});
afterEach(() => rig.reset());
afterAll(() => rig.stop());

describe("C7: another chain behind the URL", () => {
  const chainIdLie = { methods: ["eth_chainId"] };

  it("C7: is refused for good at first use", async () => {
    rig.first.lie(lies.otherChain(1), chainIdLie);
    await expect(rig.one().head()).rejects.toMatchObject({ code: "wrong_chain", retryable: false });
    expect(rig.first.calls.get("eth_getBlockByNumber")).toBeUndefined();
  });

  it("C7: is refused after a connection was lost, though no question failed", async () => {
    const nodes = rig.one();
    await nodes.head();
    // A second client, connected after the first and so cut after it, shows when the cut has been noticed.
    let cutCount = 0;
    const witness = createHttpTransport({
      address: parseNodeAddress(rig.first.url, ["http:"]),
      clock: systemClock,
      maxConnections: 1,
      onDisconnect: () => {
        cutCount += 1;
      },
    });
    await witness.post("{}");
    rig.first.lie(lies.otherChain(1), chainIdLie);
    rig.first.cutConnections();
    await waitFor(() => cutCount > 0);
    await expect(nodes.head()).rejects.toMatchObject({ code: "wrong_chain" });
    expect(Object.keys(nodes.nodes()[0]?.errorCounts ?? {})).toEqual(["wrong_chain"]);
    await witness.close();
  });

  it("C7: is refused after a minute without any sign", async () => {
    let now = 0;
    const nodes = rig.one({ clock: { ...systemClock, monotonic: () => now } });
    await nodes.head();
    rig.first.lie(lies.otherChain(1), chainIdLie);
    now += 61_000;
    await expect(nodes.head()).rejects.toMatchObject({ code: "wrong_chain" });
  });

  it("C7: is refused when it is looked for", async () => {
    const nodes = rig.both();
    await nodes.head();
    rig.first.lie(lies.otherChain(1), chainIdLie);
    await expect(nodes.recheckChainId()).rejects.toMatchObject({ code: "wrong_chain", retryable: true });
    rig.second.lie(lies.otherChain(1), chainIdLie);
    await expect(nodes.recheckChainId()).rejects.toMatchObject({ code: "wrong_chain", retryable: false });
  });

  it("C7: leaves the work to the nodes that are right, and is used again when put right", async () => {
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    rig.first.lie(lies.otherChain(1), chainIdLie);
    const nodes = rig.both({ clock });
    expect(await nodes.head()).toEqual(rig.head);
    expect(nodes.nodes().map((node) => node.state)).toEqual(["wrong_chain", "ok"]);
    rig.first.tellTruth();
    now += 120_000;
    await nodes.head();
    await waitFor(() => nodes.nodes().every((node) => node.state === "ok"), { what: "both to be used" });
  });
});
