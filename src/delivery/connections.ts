/**
 * The connections that callbacks go over: one request at a time on each, kept for the next one while both sides
 * like it. undici's own pools would do as much, but not tell which request had to wait for a connection, and for
 * what of it.
 */
import { Client } from "undici";
import {
  type ConnectPhases,
  forgetPhases,
  type GuardedConnector,
  newConnectPhases,
} from "./guarded-connector.ts";

export interface Connection {
  readonly origin: string;
  readonly client: Client;
  /** What opening it took, if that was for the request that is under way; written while it is opened. */
  readonly phases: ConnectPhases;
}

export interface Connections {
  /** An idle one, or one that is opened by its first request. It is the caller's until it is given back. */
  take(origin: string): Connection;
  /** A new one. */
  open(origin: string): Connection;
  /** It may be taken for the next request while the last one's answer is still being wound up. */
  giveBack(connection: Connection): void;
  /** Of a connection that may not be used again. */
  discard(connection: Connection): void;
  /** Breaks off all of them. */
  destroy(): Promise<void>;
}

const MAX_HEADER_BYTES = 16_384;

export function createConnections(connect: GuardedConnector): Connections {
  const idle = new Map<string, Connection[]>();
  const all = new Set<Client>();
  let isDestroyed = false;

  function open(origin: string): Connection {
    const phases = newConnectPhases();
    const client = new Client(origin, {
      pipelining: 1,
      maxHeaderSize: MAX_HEADER_BYTES,
      // The attempt's own deadline covers both; a timer of undici's for each request would be paid for.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: connect(phases),
    });
    const connection = { origin, client, phases };
    all.add(client);
    if (isDestroyed) void client.destroy();
    client.on("disconnect", () => forget(connection));
    return connection;
  }

  /** One that is idle and closed; one in use is told of by its request. */
  function forget(connection: Connection): void {
    const waiting = idle.get(connection.origin) ?? [];
    const index = waiting.indexOf(connection);
    if (index === -1) return;
    waiting.splice(index, 1);
    if (waiting.length === 0) idle.delete(connection.origin);
    discard(connection);
  }

  function discard({ client }: Connection): void {
    all.delete(client);
    if (!client.destroyed) void client.destroy();
  }

  return {
    open,
    discard,
    take: (origin) => {
      const kept = idle.get(origin)?.pop();
      if (kept === undefined) return open(origin);
      forgetPhases(kept.phases);
      return kept;
    },
    giveBack: (connection) => {
      const { origin, client } = connection;
      if (isDestroyed || client.destroyed) return discard(connection);
      const waiting = idle.get(origin);
      if (waiting === undefined) idle.set(origin, [connection]);
      else waiting.push(connection);
    },
    destroy: async () => {
      isDestroyed = true;
      idle.clear();
      await Promise.all([...all].map((client) => client.destroy()));
      all.clear();
    },
  };
}
