/** A DNS server for tests: answers A queries over UDP as it is told, and nothing else. */
import { createSocket } from "node:dgram";
import { once } from "node:events";

export interface NameServer {
  /** `address:port`. */
  readonly server: string;
  /** How often each name was asked for (type A). */
  readonly asked: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/**
 * What a name leads to: IPv4 addresses, `"unknown"` (the name does not exist) or `"silent"` (no answer comes).
 *
 * @param count how often the name was asked for before
 */
export type Zone = (name: string, count: number) => readonly string[] | "unknown" | "silent";

const HEADER_BYTES = 12;
const TYPE_A = 1;
const NAME_ERROR = 3;

export async function startNameServer(zone: Zone): Promise<NameServer> {
  const asked = new Map<string, number>();
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, end } = readQuestion(query);
    const count = asked.get(name) ?? 0;
    if (type === TYPE_A) asked.set(name, count + 1);
    const result = zone(name, count);
    if (result === "silent") return;
    const addresses = result === "unknown" || type !== TYPE_A ? [] : result;
    socket.send(
      answer(query.subarray(0, end), addresses, result === "unknown" ? NAME_ERROR : 0),
      from.port,
      from.address,
    );
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    server: `127.0.0.1:${socket.address().port}`,
    asked,
    close: async () => {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let offset = HEADER_BYTES;
  for (let length = query.readUInt8(offset); length > 0; length = query.readUInt8(offset)) {
    labels.push(query.toString("latin1", offset + 1, offset + 1 + length));
    offset += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(offset + 1), end: offset + 5 };
}

/** RFC 1035, 4.1: the question again, then one A record for each address, to be forgotten at once (TTL 0). */
function answer(question: Buffer, addresses: readonly string[], code: number): Buffer {
  const head = Buffer.from(question);
  head.writeUInt16BE(0x8180 | code, 2);
  head.writeUInt16BE(addresses.length, 6);
  head.writeUInt32BE(0, 8);
  const records = addresses.map((address) =>
    Buffer.from([0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]),
  );
  return Buffer.concat([head, ...records]);
}
