/**
 * A merchant that misbehaves: a local HTTP or HTTPS server that keeps every request as it came and answers as it
 * is told.
 */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { systemClock } from "../runtime/clock.ts";
import { TEST_CERTIFICATE, TEST_CERTIFICATE_KEY } from "./tls.ts";
import { waitFor } from "./wait-for.ts";

/** A request as it came, bytes and all. */
export interface SinkRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Milliseconds since 1970, when its last byte was read. */
  readonly at: number;
}

export interface SinkAnswer {
  /** 204 if none is given. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Waits this long before the answer. */
  readonly delayMs?: number;
  /**
   * - `hang`: never answers
   * - `hang-body`: sends the headers and the first bytes, and no more
   * - `reset`: breaks the connection instead of answering
   * - `endless-body`: sends without end, until the other side has had enough
   * - `garbage`: answers something that is not HTTP
   */
  readonly trouble?: "hang" | "hang-body" | "reset" | "endless-body" | "garbage";
}

/** @param count how many requests came before this one */
export type SinkProgramme = (request: SinkRequest, count: number) => SinkAnswer;

export interface Sink {
  /** Without a path, e.g. `http://127.0.0.1:40123`. */
  readonly url: string;
  readonly port: number;
  readonly requests: readonly SinkRequest[];
  /** Connections that were ever opened to it, with or without a request. */
  connectionCount(): number;
  /** Bytes of bodies sent by `endless-body`. */
  bytesSent(): number;
  /** From now on. */
  answer(programme: SinkProgramme | SinkAnswer): void;
  /** Resolves when at least so many requests came. */
  received(count: number, timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

export async function startSink(
  options: {
    readonly tls?: boolean;
    /** Clients must show a certificate that this one signed (PEM). */
    readonly clientCa?: string;
    readonly host?: string;
    readonly port?: number;
  } = {},
): Promise<Sink> {
  const host = options.host ?? "127.0.0.1";
  const requests: SinkRequest[] = [];
  const sockets = new Set<Socket>();
  const counts = { connections: 0, bytesSent: 0 };
  let programme: SinkProgramme = () => ({});

  const listener = (message: IncomingMessage, response: ServerResponse) => {
    // A sender that gives up in the middle is part of the play.
    response.on("error", () => response.destroy());
    void readRequest(message).then(
      async (request) => {
        const answer = programme(request, requests.length);
        requests.push(request);
        await systemClock.sleep(answer.delayMs ?? 0);
        give(response, answer, (bytes) => {
          counts.bytesSent += bytes;
        });
      },
      () => response.destroy(),
    );
  };
  const server =
    options.tls === true
      ? createTlsServer(
          {
            cert: TEST_CERTIFICATE,
            key: TEST_CERTIFICATE_KEY,
            ...(options.clientCa === undefined
              ? {}
              : { ca: options.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
          listener,
        )
      : createServer(listener);
  server.on("connection", (socket: Socket) => {
    counts.connections += 1;
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(options.port ?? 0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  return {
    url: `${options.tls === true ? "https" : "http"}://${host}:${port}`,
    port,
    requests,
    connectionCount: () => counts.connections,
    bytesSent: () => counts.bytesSent,
    answer: (given) => {
      programme = typeof given === "function" ? given : () => given;
    },
    received: async (count, timeoutMs = 10_000) => {
      const what = `${count} requests`;
      await waitFor(() => requests.length >= count, { timeoutMs, what });
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function readRequest(message: IncomingMessage): Promise<SinkRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return {
    method: message.method ?? "",
    path: message.url ?? "",
    headers: message.headers,
    body: Buffer.concat(chunks),
    at: systemClock.now(),
  };
}

function give(response: ServerResponse, answer: SinkAnswer, countBytes: (bytes: number) => void): void {
  if (answer.trouble === "hang") return;
  if (answer.trouble === "reset") {
    response.socket?.resetAndDestroy();
    return;
  }
  if (answer.trouble === "garbage") {
    response.socket?.end("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    return;
  }
  response.writeHead(answer.status ?? 204, answer.headers);
  if (answer.trouble === "hang-body") response.write(answer.body ?? "and then");
  else if (answer.trouble === "endless-body") pour(response, countBytes);
  else response.end(answer.body);
}

const DROP = Buffer.alloc(65_536, "a");

function pour(response: ServerResponse, countBytes: (bytes: number) => void): void {
  let isFlowing = true;
  while (isFlowing && !response.destroyed) {
    isFlowing = response.write(DROP);
    countBytes(DROP.length);
  }
  response.once("drain", () => pour(response, countBytes));
}
