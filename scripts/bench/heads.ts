/** When a node first speaks of each block, by its own WebSocket subscription. */
import { once } from "node:events";
import { WebSocket } from "undici";

export interface Heads {
  /** Block number → milliseconds since 1970, with fractions. */
  seenAt(): ReadonlyMap<number, number>;
  close(): void;
}

export async function watchHeads(wsUrl: string): Promise<Heads> {
  const seen = new Map<number, number>();
  const socket = new WebSocket(wsUrl);
  await once(socket, "open");
  const subscribed = once(socket, "message");
  socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] }));
  await subscribed;
  socket.addEventListener("message", ({ data }) => {
    const atMs = performance.timeOrigin + performance.now();
    const message = JSON.parse(String(data)) as { params?: { result?: { number: string } } };
    const number = message.params?.result?.number;
    if (number !== undefined) seen.set(Number(number), atMs);
  });
  return { seenAt: () => seen, close: () => socket.close() };
}
