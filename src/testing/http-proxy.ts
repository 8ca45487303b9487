/** An HTTP proxy for tests: opens tunnels (CONNECT), or does what it is told instead. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface TestProxy {
  readonly url: string;
  /** What was asked for: `address:port`. */
  readonly asked: readonly string[];
  /** `proxy-authorization` of each. */
  readonly authorizations: readonly (string | undefined)[];
  /**
   * From now on: a status line and headers in place of the tunnel; `"hang"` for none; `null` for tunnels.
   *
   * @param target `address:port`, for that one alone
   */
  refuse(answer: string | null, target?: string): void;
  /** Takes no new connection from now on; tunnels that stand go on. */
  shutDoor(): void;
  close(): Promise<void>;
}

/** @param port 0: any that is free */
export async function startHttpProxy(port = 0): Promise<TestProxy> {
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const sockets = new Set<Socket>();
  let refusal: string | null = null;
  let refusedTarget: string | undefined;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer();
  server.on("connection", keep);
  server.on("connect", (request: IncomingMessage, client: Socket) => {
    asked.push(request.url ?? "");
    authorizations.push(request.headers["proxy-authorization"]);
    const isRefused = refusedTarget === undefined || refusedTarget === request.url;
    if (isRefused && refusal === "hang") return;
    if (isRefused && refusal !== null) {
      client.end(`HTTP/1.1 ${refusal}\r\n\r\n`);
      return;
    }
    const { hostname, port } = new URL(`http://${request.url}`);
    const upstream = connect({ host: hostname, port: Number(port) });
    keep(upstream);
    upstream.once("connect", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(client);
      client.pipe(upstream);
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    authorizations,
    refuse: (answer, target) => {
      refusal = answer;
      refusedTarget = target;
    },
    shutDoor: () => server.close(),
    close: async () => {
      const closed = server.listening ? once(server, "close") : Promise.resolve();
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
