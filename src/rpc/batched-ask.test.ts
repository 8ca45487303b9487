/** Questions that travel together, asked over HTTP of a node that answers as each test says. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { createBatchedAsk } from "./batched-ask.ts";
import { createHttpTransport, type HttpTransport } from "./http-transport.ts";
import { type Ask, createJsonRpc } from "./json-rpc.ts";
import { parseNodeAddress } from "./node-address.ts";

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** What the node says, to one call or to a list of them. */
type Speak = (asked: Call | readonly Call[]) => { readonly status?: number; readonly body: unknown };

const METHOD = "eth_getBlockByNumber";
const honest = (call: Call) => ({ jsonrpc: "2.0", id: call.id, result: call.params[0] });

let speak: Speak;
let requests: (Call | Call[])[];
let now: number;
let transport: HttpTransport;
let ask: Ask;
let close: () => Promise<void>;

beforeEach(async () => {
  requests = [];
  now = 0;
  speak = (asked) => ({ body: Array.isArray(asked) ? asked.map(honest) : honest(asked as Call) });
  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const address = parseNodeAddress(`http://127.0.0.1:${port}`, ["http:"]);
  const clock: Clock = { ...systemClock, monotonic: () => now };
  transport = createHttpTransport({ address, clock, maxConnections: 8, onDisconnect: () => undefined });
  ask = createBatchedAsk(createJsonRpc(transport, address), clock);
  close = async () => {
    await transport.close();
    server.close();
    await once(server, "close");
  };
});

afterEach(() => close());

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const asked = JSON.parse(Buffer.concat(pieces).toString()) as Call | Call[];
  requests.push(asked);
  const { status = 200, body } = speak(asked);
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

const askFor = (...words: readonly string[]) => Promise.all(words.map((word) => ask(METHOD, [word])));
/** How many questions each request held; 1 for one that went alone. */
const sizes = () => requests.map((asked) => (Array.isArray(asked) ? asked.length : 1)).sort();

describe("questions that travel together", () => {
  it("get each its own answer, in whatever order the node gives them", async () => {
    speak = (asked) => ({ body: [...(asked as Call[])].reverse().map(honest) });
    expect(await askFor("a", "b", "c")).toEqual(["a", "b", "c"]);
    expect(sizes()).toEqual([3]);
  });

  it("are eight at most, and one that is left over goes alone", async () => {
    const words = [..."abcdefghi"];
    expect(await askFor(...words)).toEqual(words);
    expect(sizes()).toEqual([1, 8]);
  });

  it("are none that a node has to work for", async () => {
    const traces = ["a", "b"].map((word) => ask("debug_traceBlockByHash", [word]));
    expect(await Promise.all(traces)).toEqual(["a", "b"]);
    expect(sizes()).toEqual([1, 1]);
  });

  it("C5: are asked alone where an item is missing, and others are for a minute", async () => {
    const answerAll = speak;
    speak = (asked) => ({ body: Array.isArray(asked) ? asked.slice(1).map(honest) : honest(asked as Call) });
    expect(await askFor("a", "b", "c")).toEqual(["a", "b", "c"]);
    expect(sizes()).toEqual([1, 3]);

    speak = answerAll;
    requests = [];
    now = 59_999;
    await askFor("d", "e");
    expect(sizes()).toEqual([1, 1]);
    now = 60_000;
    requests = [];
    await askFor("f", "g");
    expect(sizes()).toEqual([2]);
  });

  it("C5: are asked alone where an item is an error, as when all answers together are too large", async () => {
    const tooLarge = { code: -32003, message: "response too large" };
    speak = (asked) => ({
      body: Array.isArray(asked)
        ? asked.map((call, index) => (index < 1 ? honest(call) : { id: call.id, error: tooLarge }))
        : honest(asked as Call),
    });
    expect(await askFor("a", "b", "c")).toEqual(["a", "b", "c"]);
    expect(sizes()).toEqual([1, 1, 3]);
  });

  it.each([
    [
      "one error for all",
      { body: { jsonrpc: "2.0", id: null, error: { code: -32600, message: "no batch" } } },
    ],
    ["a page of HTML", { status: 400, body: "<html>Bad Request</html>" }],
    ["text that breaks off", { body: "[{" }],
  ])("C5: are asked alone for ten minutes where a node answers %s", async (_, refusal) => {
    speak = (asked) => (Array.isArray(asked) ? refusal : { body: honest(asked as Call) });
    expect(await askFor("a", "b")).toEqual(["a", "b"]);
    requests = [];
    now = 599_999;
    expect(await askFor("c", "d")).toEqual(["c", "d"]);
    expect(sizes()).toEqual([1, 1]);
  });

  it("tell that a method is missing as if they had gone alone", async () => {
    const missing = { code: -32601, message: "the method does not exist" };
    speak = (asked) => ({ body: (asked as Call[]).map(({ id }) => ({ id, error: missing })) });
    await expect(askFor("a", "b")).rejects.toMatchObject({ code: "node_method_missing" });
  });

  it("fail together where the node asks for fewer requests", async () => {
    speak = () => ({ status: 429, body: "Too Many Requests" });
    const outcomes = await Promise.allSettled(["a", "b"].map((word) => ask(METHOD, [word])));
    expect(outcomes).toMatchObject([
      { status: "rejected", reason: { code: "node_rate_limited" } },
      { status: "rejected", reason: { code: "node_rate_limited" } },
    ]);
    expect(sizes()).toEqual([2]);
  });

  it("go alone for ten seconds after a batch that took long", async () => {
    const answerAll = speak;
    speak = (asked) => {
      now += 51;
      return answerAll(asked);
    };
    await askFor("a", "b");
    speak = answerAll;
    requests = [];
    await askFor("c", "d");
    expect(sizes()).toEqual([1, 1]);
    now += 10_000;
    requests = [];
    await askFor("e", "f");
    expect(sizes()).toEqual([2]);
  });

  it("do not wait for one that was given up, nor take it along", async () => {
    const cancel = new AbortController();
    const given = ask(METHOD, ["a"], cancel.signal);
    const others = askFor("b", "c");
    cancel.abort(new Error("given up"));
    await expect(given).rejects.toThrow("given up");
    expect(await others).toEqual(["b", "c"]);
    expect(sizes()).toEqual([2]);
  });
});
