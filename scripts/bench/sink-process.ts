/**
 * A program: a merchant that takes every callback at once, but for those to `/hang`. `node --import tsx sink-process.ts`
 * prints its URL, keeps what comes to `/kept` and gives it out at `GET /kept`, and ends when its standard input does.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { KeptCallback } from "./sink.ts";

let kept: KeptCallback[] = [];

const server = createServer((request, response) => {
  if (request.method === "GET") {
    response.end(JSON.stringify(kept));
    kept = [];
    return;
  }
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    if (request.url === "/hang") return;
    if (request.url === "/kept") keep(Buffer.concat(chunks));
    response.writeHead(204).end();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1");
await once(server, "listening");
process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

function keep(body: Buffer): void {
  const atMs = performance.timeOrigin + performance.now();
  const { data } = JSON.parse(body.toString("utf8")) as {
    data: { id: string; status: string; blockNumber: number };
  };
  kept.push({ depositId: data.id, status: data.status, blockNumber: data.blockNumber, atMs });
}
