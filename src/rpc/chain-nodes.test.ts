/** Several nodes as one, through proxies that lie. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { type ProxiedNodes, startProxiedNodes } from "../testing/proxied-nodes.ts";
import { waitFor } from "../testing/wait-for.ts";

let rig: ProxiedNodes;
beforeAll(async () => {
  rig = await startProxiedNodes();
});
afterEach(() => rig.reset());
afterAll(() => rig.stop());

describe("asking a node", () => {
  it("answers head, headers and tags", async () => {
    const nodes = rig.one();
    expect(await nodes.head()).toEqual(rig.head);
    expect(await nodes.headerByHash(rig.head.hash)).toEqual(rig.head);
    expect((await nodes.headerByNumber(3n))?.number).toBe(3n);
    expect((await nodes.tag("safe"))?.number).toBe(4n);
    expect((await nodes.tag("finalized"))?.number).toBe(3n);
    expect(nodes.nodes()).toMatchObject([
      { state: "ok", headNumber: 5n, consecutiveErrors: 0, lastError: null },
    ]);
  });

  it("answers null for a block that is not there yet, and for a hash that nobody knows", async () => {
    const nodes = rig.one();
    expect(await nodes.headerByNumber(rig.head.number + 1n)).toBeNull();
    expect(await nodes.headerByHash(`0x${"1".repeat(64)}`)).toBeNull();
  });

  it("C3: takes null for a block below the node's own head for an error", async () => {
    const nodes = rig.one();
    rig.first.lie(
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
    rig.first.lie(lie, { methods: ["eth_getBlockByNumber"] });
    expect(await rig.one().tag("safe")).toBeNull();
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
    rig.first.lie(lie, { ...scope, times: 1 });
    expect(await rig.one().head()).toEqual(rig.head);

    rig.first.lie(lie, scope);
    expect(await rig.both({ retry: { rounds: 1 } }).head()).toEqual(rig.head);
    await expect(rig.one().head()).rejects.toMatchObject({ code, retryable: true });
  });

  it("C9: gives up a request that hangs, and asks another node", async () => {
    rig.first.lie(lies.hang(), { methods: ["eth_getBlockByNumber"] });
    const nodes = rig.both({ limits: { headersTimeoutMs: 200 }, retry: { rounds: 1 } });
    expect(await nodes.head()).toEqual(rig.head);
    expect(nodes.nodes()[0]).toMatchObject({ state: "failing", lastError: { code: "node_unreachable" } });
  });

  it("ends at once when its caller gives up", async () => {
    rig.first.lie(lies.hang());
    const cancel = new AbortController();
    const asking = rig.one().head(cancel.signal);
    cancel.abort(new Error("enough"));
    await expect(asking).rejects.toThrow("enough");
  });

  it("refuses an answer that is larger than the limit", async () => {
    const nodes = rig.one({ limits: { maxAnswerBytes: 500 } });
    await expect(nodes.head()).rejects.toMatchObject({ code: "node_answer_invalid" });
  });

  it("never shows the path, the query or the credentials of a node's URL", async () => {
    const lines: unknown[] = [];
    const note = (sentence: string, fields?: unknown) => lines.push(sentence, fields);
    const all = { debug: note, info: note, warn: note, error: note };
    const logger: Logger = { ...all, writes: () => true, with: () => logger };
    const { host } = new URL(rig.first.url);
    const secrets = ["user1234", "password1234", "apikey-in-path", "apikey-in-query"];
    const nodes = testNodes([`http://user1234:password1234@${host}/v3/apikey-in-path?key=apikey-in-query`], {
      logger,
    });
    rig.first.lie(
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
    const nodes = rig.both({ clock, retry: { rounds: 1 } });
    const leading = async () => {
      await nodes.head();
      return nodes.nodes().findIndex((node) => node.isLeading);
    };
    expect(await leading()).toBe(0);
    rig.first.lie(lies.badGateway(), { methods: ["eth_getBlockByNumber"], times: 1 });
    expect(await leading()).toBe(1);
    expect(await leading()).toBe(1);
    now += 10_000;
    // Its head has to be heard first, beside the look at the head.
    await waitFor(async () => (await leading()) === 0, { what: "the first to lead again" });
  });

  it("rests as long as a node asked for with its 429", async () => {
    let now = 0;
    const nodes = rig.both({ clock: { ...systemClock, monotonic: () => now }, retry: { rounds: 1 } });
    rig.first.lie(lies.tooManyRequests(20), { times: 1 });
    await nodes.head();
    now += 19_000;
    rig.first.resetCalls();
    await nodes.head();
    expect(rig.first.calls.size).toBe(0);
    now += 2_000;
    await nodes.head();
    expect(rig.first.calls.size).toBeGreaterThan(0);
  });

  it("C3: believes that a block is not there yet only when no node has it", async () => {
    rig.first.lie(lies.lag(2));
    expect((await rig.both().headerByNumber(5n))?.hash).toBe(rig.head.hash);
    rig.second.lie(lies.lag(2));
    expect(await rig.both().headerByNumber(5n)).toBeNull();
  });

  it("goes on with one node when the other is not there at all", async () => {
    const nodes = rig.open(["http://127.0.0.1:9", rig.second.url]);
    expect(await nodes.head()).toEqual(rig.head);
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
    const nodes = rig.one({ retry: { rounds: 1 } });
    expect(await nodes.head()).toEqual(rig.head);
    rig.first.lie(jumping(isKnownHash), latest);
    expect(await nodes.head()).toEqual(rig.head);
    await expect(nodes.head()).rejects.toMatchObject({ code: "node_answer_invalid" });
    expect(nodes.nodes()[0]?.headNumber).toBe(rig.head.number);
    expect(await nodes.head()).toEqual(rig.head);
  });

  it("C8: is not believed of one of two, nor at the very first look", async () => {
    rig.first.lie(
      lies.changed((block) => ({ ...(block as object), number: toHex(rig.head.number + 100_000n) })),
      latest,
    );
    const nodes = rig.both({ retry: { rounds: 1 } });
    expect(await nodes.head()).toEqual(rig.head);
    expect(nodes.nodes().map(({ isLeading, headNumber }) => [isLeading, headNumber])).toEqual([
      [false, null],
      [true, rig.head.number],
    ]);
  });

  it("C8: is not believed without the blocks below it, though the node has it and blocks where they must be", async () => {
    const far = await startAnvil({ mining: "manual" });
    const proxy = await startNodeProxy(far.url);
    const nodes = rig.open([proxy.url], { retry: { rounds: 1 } });
    await nodes.head();
    const mined = await far.mine(200);
    const invented = `0x${"7".repeat(64)}`;
    const told = lies.changed((block) =>
      block === null ? null : { ...(block as object), hash: invented, parentHash: `0x${"8".repeat(64)}` },
    );
    proxy.lie(told, latest);
    proxy.lie(
      (call) =>
        call.params[0] === invented
          ? told({ ...call, forward: () => call.forward({ params: [mined.hash, false] }) })
          : lies.truth(call),
      { methods: ["eth_getBlockByHash"] },
    );
    await expect(nodes.head()).rejects.toMatchObject({ code: "node_answer_invalid" });
    proxy.tellTruth();
    expect(await nodes.head()).toEqual(mined);
    await proxy.stop();
    await far.stop();
  });

  it("C8: is believed when its blocks are there", async () => {
    const far = await startAnvil({ mining: "manual" });
    const nodes = rig.open([far.url]);
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
    const nodes = rig.open([a.url, b.url], {
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
    const nodes = rig.open([a.url, b.url], { clock: { ...systemClock, monotonic: () => now } });
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
    const nodes = rig.open([a.url, b.url], {
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

function plain(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
