/** Several nodes as one, through proxies that lie. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { type TestNodesOptions, testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import type { ChainNodes } from "./chain-nodes.ts";
import { createHttpTransport } from "./http-transport.ts";
import { parseNodeAddress } from "./node-address.ts";

let chain: Anvil;
let first: NodeProxy;
let second: NodeProxy;
let head: BlockHeader;
const opened: ChainNodes[] = [];

const open = (urls: readonly string[], options: TestNodesOptions = {}) => {
  const nodes = testNodes(urls, options);
  opened.push(nodes);
  return nodes;
};
const one = (options?: TestNodesOptions) => open([first.url], options);
const both = (options?: TestNodesOptions) => open([first.url, second.url], options);

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual", slotsInAnEpoch: 1 });
  first = await startNodeProxy(chain.url);
  second = await startNodeProxy(chain.url);
  head = await chain.mine(5);
});
afterEach(async () => {
  for (const proxy of [first, second]) {
    proxy.tellTruth();
    proxy.resetCalls();
  }
  for (const nodes of opened.splice(0)) await nodes.close();
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await chain.stop();
});

describe("asking a node", () => {
  it("answers head, headers and tags", async () => {
    const nodes = one();
    expect(await nodes.head()).toEqual(head);
    expect(await nodes.headerByHash(head.hash)).toEqual(head);
    expect((await nodes.headerByNumber(3n))?.number).toBe(3n);
    expect((await nodes.tag("safe"))?.number).toBe(4n);
    expect((await nodes.tag("finalized"))?.number).toBe(3n);
    expect(nodes.nodes()).toMatchObject([
      { state: "ok", headNumber: 5n, consecutiveErrors: 0, lastError: null },
    ]);
  });

  it("answers null for a block that is not there yet, and for a hash that nobody knows", async () => {
    const nodes = one();
    expect(await nodes.headerByNumber(head.number + 1n)).toBeNull();
    expect(await nodes.headerByHash(`0x${"1".repeat(64)}`)).toBeNull();
  });

  it("C3: takes null for a block below the node's own head for an error", async () => {
    const nodes = one();
    first.lie(
      lies.changed((result) =>
        (result as BlockHeader | null)?.number === ("0x3" as unknown) ? null : result,
      ),
      {
        methods: ["eth_getBlockByNumber"],
      },
    );
    await expect(nodes.headerByNumber(3n)).rejects.toMatchObject({ code: "node_answer_invalid" });
    expect((await nodes.headerByNumber(4n))?.number).toBe(4n);
  });

  it.each([
    ["-39001 safe block not found", lies.rpcError(-39001, "Unknown block")],
    ["safe block not found", lies.rpcError(-32000, "safe block not found")],
    ["an unknown tag", lies.rpcError(-32602, "invalid argument 0: hex string without 0x prefix")],
  ])("takes a tag that the node does not know for none (%s)", async (_what, lie) => {
    first.lie(lie, { methods: ["eth_getBlockByNumber"] });
    expect(await one().tag("safe")).toBeNull();
  });

  it.each([
    ["HTTP 429", lies.tooManyRequests(), "node_rate_limited"],
    ["HTTP 502 with HTML", lies.badGateway(), "node_error"],
    ["an error under HTTP 200", lies.rpcError(-32000, "header not found"), "node_error"],
    [
      "a rate limit under HTTP 200",
      lies.rpcError(-32005, "daily request count exceeded"),
      "node_rate_limited",
    ],
    ["JSON that breaks off", lies.truncate(), "node_answer_invalid"],
    ["another question's answer", lies.wrongId(), "node_answer_invalid"],
    ["a batch without the item", lies.missingItem(), "node_answer_invalid"],
    ["a cut connection", lies.reset(), "node_unreachable"],
  ])("C5: retries after %s, tries another node, and says what it was", async (_what, lie, code) => {
    const scope = { methods: ["eth_getBlockByNumber"] };
    first.lie(lie, { ...scope, times: 1 });
    expect(await one().head()).toEqual(head);

    first.lie(lie, scope);
    expect(await both({ retry: { rounds: 1 } }).head()).toEqual(head);
    await expect(one().head()).rejects.toMatchObject({ code, retryable: true });
  });

  it("C9: gives up a request that hangs, and asks another node", async () => {
    first.lie(lies.hang(), { methods: ["eth_getBlockByNumber"] });
    const nodes = both({ limits: { headersTimeoutMs: 200 }, retry: { rounds: 1 } });
    expect(await nodes.head()).toEqual(head);
    expect(nodes.nodes()[0]).toMatchObject({ state: "failing", lastError: { code: "node_unreachable" } });
  });

  it("ends at once when its caller gives up", async () => {
    first.lie(lies.hang());
    const cancel = new AbortController();
    const asking = one().head(cancel.signal);
    cancel.abort(new Error("enough"));
    await expect(asking).rejects.toThrow("enough");
  });

  it("refuses an answer that is larger than the limit", async () => {
    const nodes = one({ limits: { maxAnswerBytes: 500 } });
    await expect(nodes.head()).rejects.toMatchObject({ code: "node_answer_invalid" });
  });

  it("never shows the path, the query or the credentials of a node's URL", async () => {
    const lines: unknown[] = [];
    const note = (sentence: string, fields?: unknown) => lines.push(sentence, fields);
    const all = { debug: note, info: note, warn: note, error: note };
    const logger: Logger = { ...all, writes: () => true, with: () => logger };
    const { host } = new URL(first.url);
    const secrets = ["user1234", "password1234", "apikey-in-path", "apikey-in-query"];
    const nodes = testNodes([`http://user1234:password1234@${host}/v3/apikey-in-path?key=apikey-in-query`], {
      logger,
    });
    first.lie(
      lies.rpcError(-32000, `the key apikey-in-path of user1234 is not known here, nor apikey-in-query`),
    );
    const error: unknown = await nodes.head().catch((rawError: unknown) => rawError);
    await nodes.close();
    await nodes.head().catch((rawError: unknown) => lines.push(rawError));
    const shown = JSON.stringify(
      [error, (error as Error).message, (error as Error).stack, lines, nodes.nodes()],
      plain,
    );
    expect(shown).toContain(host);
    for (const secret of secrets) expect(shown).not.toContain(secret);
  });
});

describe("several nodes", () => {
  it("prefers the first, and comes back to it after its rest", async () => {
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    const nodes = both({ clock, retry: { rounds: 1 } });
    const leading = async () => {
      await nodes.head();
      return nodes.nodes().findIndex((node) => node.isLeading);
    };
    expect(await leading()).toBe(0);
    first.lie(lies.badGateway(), { methods: ["eth_getBlockByNumber"], times: 1 });
    expect(await leading()).toBe(1);
    expect(await leading()).toBe(1);
    now += 10_000;
    // Its head has to be heard first, beside the look at the head.
    await waitFor(async () => (await leading()) === 0, { what: "the first to lead again" });
  });

  it("rests as long as a node asked for with its 429", async () => {
    let now = 0;
    const nodes = both({ clock: { ...systemClock, monotonic: () => now }, retry: { rounds: 1 } });
    first.lie(lies.tooManyRequests(20), { times: 1 });
    await nodes.head();
    now += 19_000;
    first.resetCalls();
    await nodes.head();
    expect(first.calls.size).toBe(0);
    now += 2_000;
    await nodes.head();
    expect(first.calls.size).toBeGreaterThan(0);
  });

  it("C3: believes that a block is not there yet only when no node has it", async () => {
    first.lie(lies.lag(2));
    expect((await both().headerByNumber(5n))?.hash).toBe(head.hash);
    second.lie(lies.lag(2));
    expect(await both().headerByNumber(5n)).toBeNull();
  });

  it("goes on with one node when the other is not there at all", async () => {
    const nodes = open(["http://127.0.0.1:9", second.url]);
    expect(await nodes.head()).toEqual(head);
  });
});

describe("a head that is far above the others", () => {
  const latest = { methods: ["eth_getBlockByNumber"] };
  const toHex = (number: bigint) => `0x${number.toString(16)}`;
  /** Every other answer about the head is 100,000 blocks ahead of the truth, under a hash that nobody knows. */
  const jumping = (isKnownHash: boolean): lies.Lie => {
    let count = 0;
    return async (call) => {
      const body = await call.forward();
      if (call.params[0] !== "latest" || count++ % 2 === 0) return { status: 200, body };
      const told = body["result"] as { number: string; hash: string };
      const number = toHex(BigInt(told.number) + 100_000n);
      const hash = isKnownHash ? told.hash : `0x${"7".repeat(64)}`;
      return { status: 200, body: { ...body, result: { ...told, number, hash } } };
    };
  };

  it.each([true, false])("C8: is not believed of the only node (its hash known: %s)", async (isKnownHash) => {
    const nodes = one({ retry: { rounds: 1 } });
    expect(await nodes.head()).toEqual(head);
    first.lie(jumping(isKnownHash), latest);
    expect(await nodes.head()).toEqual(head);
    await expect(nodes.head()).rejects.toMatchObject({ code: "node_answer_invalid" });
    expect(nodes.nodes()[0]?.headNumber).toBe(head.number);
    expect(await nodes.head()).toEqual(head);
  });

  it("C8: is not believed of one of two, nor at the very first look", async () => {
    first.lie(
      lies.changed((block) => ({ ...(block as object), number: toHex(head.number + 100_000n) })),
      latest,
    );
    const nodes = both({ retry: { rounds: 1 } });
    expect(await nodes.head()).toEqual(head);
    expect(nodes.nodes().map(({ isLeading, headNumber }) => [isLeading, headNumber])).toEqual([
      [false, null],
      [true, head.number],
    ]);
  });

  it("C8: is believed when its blocks are there", async () => {
    const far = await startAnvil({ mining: "manual" });
    const nodes = open([far.url]);
    await nodes.head();
    const mined = await far.mine(200);
    expect(await nodes.head()).toEqual(mined);
    await far.stop();
  });
});

describe("two nodes on different branches", () => {
  let branchA: Anvil;
  let branchB: Anvil;
  let a: NodeProxy;
  let b: NodeProxy;
  beforeAll(async () => {
    [branchA, branchB] = await Promise.all([
      startAnvil({ mining: "manual" }),
      startAnvil({ mining: "manual" }),
    ]);
    [a, b] = await Promise.all([startNodeProxy(branchA.url), startNodeProxy(branchB.url)]);
    // The same genesis, and from then on blocks of their own: a sender each.
    await branchB.sendEth(branchB.account(1).address, 1n);
    await Promise.all([branchA.mine(5), branchB.mine(5)]);
  });
  afterEach(() => {
    a.tellTruth();
    b.tellTruth();
  });
  afterAll(async () => {
    await Promise.all([a.stop(), b.stop()]);
    await Promise.all([branchA.stop(), branchB.stop()]);
  });

  it("C10: follows the first through single failures, and through the other's being a block ahead", async () => {
    let now = 0;
    const nodes = open([a.url, b.url], {
      clock: { ...systemClock, monotonic: () => now },
      retry: { rounds: 2 },
    });
    const mine = await branchA.head();
    expect(await nodes.head()).toEqual(mine);
    for (let step = 0; step < 5; step++) {
      if (step === 2) await branchB.mine();
      a.lie(lies.badGateway(), { methods: ["eth_getBlockByNumber"], times: 1 });
      expect(await nodes.head()).toEqual(mine);
      now += 1_500;
    }
    expect(nodes.nodes().map(({ isLeading }) => isLeading)).toEqual([true, false]);
  });

  it("C10: follows the other once it is three blocks ahead, and stays there", async () => {
    let now = 0;
    const nodes = open([a.url, b.url], { clock: { ...systemClock, monotonic: () => now } });
    await nodes.head();
    const { number } = await branchA.head();
    const ahead = await branchB.mine(Number(number + 3n - (await branchB.head()).number));
    await waitFor(
      async () => {
        now += 1_500;
        return (await nodes.head()).hash === ahead.hash;
      },
      { what: "the other node to be followed" },
    );
    await branchA.mine(2);
    now += 1_500;
    expect((await nodes.head()).hash).toBe(ahead.hash);
  });

  it("C10: follows the other when the first has not answered for ten seconds", async () => {
    let now = 0;
    const nodes = open([a.url, b.url], {
      clock: { ...systemClock, monotonic: () => now },
      retry: { rounds: 1 },
    });
    await nodes.head();
    a.lie(lies.reset());
    await branchA.mine(10);
    const theirs = await branchB.mine();
    const isBelow = theirs.number < (await branchA.head()).number;
    expect(isBelow).toBe(true);
    await expect(nodes.head()).rejects.toMatchObject({ retryable: true });
    now += 10_001;
    expect(await nodes.head()).toEqual(theirs);
  });
});

describe("C7: another chain behind the URL", () => {
  const chainIdLie = { methods: ["eth_chainId"] };

  it("C7: is refused for good at first use", async () => {
    first.lie(lies.otherChain(1), chainIdLie);
    await expect(one().head()).rejects.toMatchObject({ code: "wrong_chain", retryable: false });
    expect(first.calls.get("eth_getBlockByNumber")).toBeUndefined();
  });

  it("C7: is refused after a connection was lost, though no question failed", async () => {
    const nodes = one();
    await nodes.head();
    // A second client, connected after the first and so cut after it, shows when the cut has been noticed.
    let cutCount = 0;
    const witness = createHttpTransport({
      address: parseNodeAddress(first.url, ["http:"]),
      clock: systemClock,
      maxConnections: 1,
      onDisconnect: () => {
        cutCount += 1;
      },
    });
    await witness.post("{}");
    first.lie(lies.otherChain(1), chainIdLie);
    first.cutConnections();
    await waitFor(() => cutCount > 0);
    await expect(nodes.head()).rejects.toMatchObject({ code: "wrong_chain" });
    expect(Object.keys(nodes.nodes()[0]?.errorCounts ?? {})).toEqual(["wrong_chain"]);
    await witness.close();
  });

  it("C7: is refused after a minute without any sign", async () => {
    let now = 0;
    const nodes = one({ clock: { ...systemClock, monotonic: () => now } });
    await nodes.head();
    first.lie(lies.otherChain(1), chainIdLie);
    now += 61_000;
    await expect(nodes.head()).rejects.toMatchObject({ code: "wrong_chain" });
  });

  it("C7: is refused when it is looked for", async () => {
    const nodes = both();
    await nodes.head();
    first.lie(lies.otherChain(1), chainIdLie);
    await expect(nodes.recheckChainId()).rejects.toMatchObject({ code: "wrong_chain", retryable: true });
    second.lie(lies.otherChain(1), chainIdLie);
    await expect(nodes.recheckChainId()).rejects.toMatchObject({ code: "wrong_chain", retryable: false });
  });

  it("C7: leaves the work to the nodes that are right, and is used again when put right", async () => {
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    first.lie(lies.otherChain(1), chainIdLie);
    const nodes = both({ clock });
    expect(await nodes.head()).toEqual(head);
    expect(nodes.nodes().map((node) => node.state)).toEqual(["wrong_chain", "ok"]);
    first.tellTruth();
    now += 120_000;
    await nodes.head();
    await waitFor(() => nodes.nodes().every((node) => node.state === "ok"), { what: "both to be used" });
  });
});

describe("probing", () => {
  it("says what each node is and can do", async () => {
    const [probe] = await one({ internal: "trace" }).probe();
    expect(probe).toMatchObject({
      chainId: 31337,
      head,
      receipts: "eth_getBlockReceipts",
      traces: "debug_traceBlockByHash",
      tags: { safe: 4n, finalized: 3n },
      problems: [],
    });
    expect(probe?.clientVersion).toContain("anvil");
  });

  it("C11: names a node that cannot trace though it should", async () => {
    first.lie(lies.methodMissing(), {
      methods: ["debug_traceBlockByHash", "trace_block", "eth_getBlockReceipts"],
    });
    const probes = await both({ internal: "trace" }).probe();
    expect(probes[0]).toMatchObject({ receipts: "eth_getTransactionReceipt", traces: null });
    expect(probes.map((probe) => probe.problems.map((problem) => problem.code))).toEqual([
      ["node_method_missing"],
      [],
    ]);
  });

  it("C11: expects traces of one node at least before blocks are fetched, and leaves the other to its headers", async () => {
    first.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash", "trace_block"] });
    await expect(one({ internal: "trace" }).expectTraces()).rejects.toMatchObject({
      code: "node_method_missing",
      retryable: false,
    });
    await one({ internal: "none" }).expectTraces();
    const nodes = both({ internal: "trace" });
    await nodes.expectTraces();
    await waitFor(() => nodes.nodes()[0]?.lacksTraces === true);
    const current = await nodes.head();
    first.resetCalls();
    expect((await nodes.blockByHash(current.hash)).traces).toEqual([]);
    expect(first.calls.get("eth_getBlockByHash")).toBeUndefined();
  });

  it("C7: names a node of another chain, and one that is not there", async () => {
    first.lie(lies.otherChain(5), { methods: ["eth_chainId"] });
    const probes = await open([first.url, "http://127.0.0.1:9"]).probe();
    expect(probes.map((probe) => probe.problems.map((problem) => problem.code))).toEqual([
      ["wrong_chain"],
      ["node_unreachable", "node_unreachable"],
    ]);
  });
});

function plain(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
