/** How long a client may take to send its body. Only an import, which may be gigabytes, has longer. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Clock } from "../runtime/clock.ts";
import { IMPORT_PATH } from "./routes/import-addresses.ts";

export const BODY_MS = 30_000;
/** For a request as a whole, enforced by Node.js itself: what the longest import may take. */
export const REQUEST_MS = 3_600_000;

/** Cuts the connection of a client that dribbles its body, as it could hold a socket for an hour otherwise. */
export function addBodyDeadline(server: FastifyInstance, clock: Clock): void {
  server.addHook("preParsing", async (request, _reply, payload) => {
    if (request.routeOptions.url === IMPORT_PATH || !hasBody(request)) return payload;
    const received = new AbortController();
    for (const event of ["end", "close", "error"]) payload.once(event, () => received.abort());
    void clock.sleep(BODY_MS, received.signal).then(() => {
      if (!received.signal.aborted) request.raw.destroy();
    });
    return payload;
  });
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}
