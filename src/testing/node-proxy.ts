/**
 * A JSON-RPC proxy in front of a real node, that lies on command and counts what it is asked.
 *
 * HTTP requests are taken apart, so that a lie may answer any of them; WebSockets are passed through as bytes,
 * and can be made silent or cut.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Pool } from "undici";
import type { Lie, ProxiedCall, Reply, RpcBody } from "./lies.ts";

export interface NodeProxy {
  readonly url: string;
  readonly wsUrl: string;
  /**
   * Tells this lie from now on; the one told last goes first.
   *
   * @param when which calls, and how many of them; all without end if it is not given
   * @returns ends the lie
   */
  lie(lie: Lie, when?: LieScope): () => void;
  /** Tells the truth again. */
  tellTruth(): void;
  /** How often each method was asked for since the start or the last reset. */
  readonly calls: ReadonlyMap<string, number>;
  resetCalls(): void;
  /** Open WebSockets say nothing more, though they stay open; so do those opened later. */
  silenceWebSockets(isSilent: boolean): void;
  openWebSockets(): number;
  /** Breaks every connection, HTTP and WebSocket; new ones are taken. */
  cutConnections(): void;
  /** From now on all is asked of another node. */
  redirect(upstreamUrl: string): void;
  stop(): Promise<void>;
}

export interface LieScope {
  readonly methods?: readonly string[];
  readonly times?: number;
}

interface ActiveLie {
  readonly lie: Lie;
  readonly methods: readonly string[] | null;
  timesLeft: number;
}

export async function startNodeProxy(upstreamUrl: string): Promise<NodeProxy> {
  const calls = new Map<string, number>();
  const sockets = new Set<Socket>();
  const tunnels = new Set<Tunnel>();
  let lies: ActiveLie[] = [];
  let upstream = openUpstream(upstreamUrl);
  let isSilent = false;

  const answer = (call: RpcBody): Promise<Reply> => {
    const method = String(call["method"]);
    calls.set(method, (calls.get(method) ?? 0) + 1);
    const active = lies.find((each) => each.timesLeft > 0 && (each.methods?.includes(method) ?? true));
    if (active !== undefined) active.timesLeft -= 1;
    return (active?.lie ?? tellTruth)(proxiedCall(call, method, upstream.ask));
  };
  const server = createServer((request, response) => void handle(request, response, answer));
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (request, client, head) => {
    const tunnel = openTunnel(upstream.url, request, client, head);
    tunnel.setSilent(isSilent);
    tunnels.add(tunnel);
    client.once("close", () => tunnels.delete(tunnel));
  });
  const port = await listen(server);

  return {
    url: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}`,
    calls,
    lie: (lie, when = {}) => {
      const active = {
        lie,
        methods: when.methods ?? null,
        timesLeft: when.times ?? Number.POSITIVE_INFINITY,
      };
      lies = [active, ...lies];
      return () => {
        lies = lies.filter((each) => each !== active);
      };
    },
    tellTruth: () => {
      lies = [];
    },
    resetCalls: () => calls.clear(),
    silenceWebSockets: (silent) => {
      isSilent = silent;
      for (const tunnel of tunnels) tunnel.setSilent(silent);
    },
    openWebSockets: () => tunnels.size,
    cutConnections: () => {
      for (const socket of sockets) socket.destroy();
    },
    redirect: (url) => {
      void upstream.pool.close();
      upstream = openUpstream(url);
    },
    stop: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await upstream.pool.destroy();
      if (server.listening) await once(server, "close");
    },
  };
}

const tellTruth: Lie = async (call) => ({ status: 200, body: await call.forward() });

function proxiedCall(body: RpcBody, method: string, ask: (body: RpcBody) => Promise<RpcBody>): ProxiedCall {
  const params = Array.isArray(body["params"]) ? (body["params"] as unknown[]) : [];
  return {
    method,
    params,
    id: body["id"],
    forward: (changed = {}) => ask({ ...body, ...changed }),
  };
}

function openUpstream(url: string) {
  const pool = new Pool(url, { connections: 32 });
  const ask = async (body: RpcBody): Promise<RpcBody> => {
    const headers = { "content-type": "application/json" };
    const answer = await pool.request({ path: "/", method: "POST", headers, body: JSON.stringify(body) });
    return (await answer.body.json()) as RpcBody;
  };
  return { url, pool, ask };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  answer: (call: RpcBody) => Promise<Reply>,
): Promise<void> {
  try {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = JSON.parse(Buffer.concat(pieces).toString()) as RpcBody | RpcBody[];
    const reply = Array.isArray(body) ? await answerBatch(body, answer) : await answer(body);
    send(response, reply);
  } catch {
    response.destroy(); // the client went away, or the node did
  }
}

/** Lies about single calls hold within a batch too; one that is no JSON-RPC answer leaves its item out. */
async function answerBatch(calls: RpcBody[], answer: (call: RpcBody) => Promise<Reply>): Promise<Reply> {
  const replies = await Promise.all(calls.map(answer));
  return {
    status: 200,
    body: replies.flatMap((reply) => (typeof reply === "object" && "body" in reply ? [reply.body] : [])),
  };
}

function send(response: ServerResponse, reply: Reply): void {
  if (reply === "hang") return;
  if (reply === "reset") {
    response.destroy();
    return;
  }
  const text = "text" in reply ? reply.text : JSON.stringify(reply.body);
  response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers });
  response.end(text);
}

interface Tunnel {
  setSilent(isSilent: boolean): void;
}

/** Hands the upgraded connection on byte by byte. */
function openTunnel(upstreamUrl: string, request: IncomingMessage, client: Duplex, head: Buffer): Tunnel {
  const { hostname, port } = new URL(upstreamUrl);
  const node = connect(Number(port), hostname);
  let isSilent = false;
  const lines = [`GET ${request.url} HTTP/1.1`];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
  }
  node.write(`${lines.join("\r\n")}\r\n\r\n`);
  node.write(head);
  client.pipe(node);
  node.on("data", (piece) => {
    if (!isSilent) client.write(piece);
  });
  for (const [one, other] of [
    [client, node],
    [node, client],
  ] as const) {
    one.once("close", () => other.destroy());
    one.once("error", () => other.destroy());
  }
  return {
    setSilent: (silent) => {
      isSilent = silent;
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
