/** What nodes are and can do, and what is expected of them at the start. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import * as lies from "../testing/lies.ts";
import { type ProxiedNodes, startProxiedNodes } from "../testing/proxied-nodes.ts";
import { waitFor } from "../testing/wait-for.ts";

let rig: ProxiedNodes;
beforeAll(async () => {
  rig = await startProxiedNodes();
});
afterEach(() => rig.reset());
afterAll(() => rig.stop());

describe("probing", () => {
  it("says what each node is and can do", async () => {
    const [probe] = await rig.one({ internal: "trace" }).probe();
    expect(probe).toMatchObject({
      chainId: 31337,
      head: rig.head,
      receipts: "eth_getBlockReceipts",
      traces: "debug_traceBlockByHash",
      tags: { safe: 4n, finalized: 3n },
      problems: [],
    });
    expect(probe?.clientVersion).toContain("anvil");
  });

  it("C11: names a node that cannot trace though it should", async () => {
    rig.first.lie(lies.methodMissing(), {
      methods: ["debug_traceBlockByHash", "trace_block", "eth_getBlockReceipts"],
    });
    const probes = await rig.both({ internal: "trace" }).probe();
    expect(probes[0]).toMatchObject({ receipts: "eth_getTransactionReceipt", traces: null });
    expect(probes.map((probe) => probe.problems.map((problem) => problem.code))).toEqual([
      ["node_method_missing"],
      [],
    ]);
  });

  it("C11: expects traces of one node at least before blocks are fetched, and leaves the other to its headers", async () => {
    rig.first.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash", "trace_block"] });
    await expect(rig.one({ internal: "trace" }).expectTraces()).rejects.toMatchObject({
      code: "node_method_missing",
      retryable: false,
    });
    await rig.one({ internal: "none" }).expectTraces();
    const nodes = rig.both({ internal: "trace" });
    await nodes.expectTraces();
    await waitFor(() => nodes.nodes()[0]?.lacksTraces === true);
    const current = await nodes.head();
    rig.first.resetCalls();
    expect((await nodes.blockByHash(current.hash)).traces).toEqual([]);
    expect(rig.first.calls.get("eth_getBlockByHash")).toBeUndefined();
  });

  it("C7: names a node of another chain, and one that is not there", async () => {
    rig.first.lie(lies.otherChain(5), { methods: ["eth_chainId"] });
    const probes = await rig.open([rig.first.url, "http://127.0.0.1:9"]).probe();
    expect(probes.map((probe) => probe.problems.map((problem) => problem.code))).toEqual([
      ["wrong_chain"],
      ["node_unreachable", "node_unreachable"],
    ]);
  });
});
