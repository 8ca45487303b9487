/** Pages for the machines that run the daemon: no key, no merchant's data. */
import type { FastifyInstance } from "fastify";
import { VERSION } from "../../runtime/version.ts";
import { readLiveGauges } from "../live-gauges.ts";
import type { HttpParts } from "../parts.ts";
import type { Readiness } from "../readiness.ts";

/** Orchestrators ask with a timeout of their own, of ten seconds or so; an answer after it helps nobody. */
const READINESS_TIMEOUT_MS = 5_000;

const LATE: Pick<Readiness, "ready"> & { problem: string } = {
  ready: false,
  problem: `The parts did not answer within ${READINESS_TIMEOUT_MS / 1000} s`,
};

export function addServiceRoutes(server: FastifyInstance, parts: HttpParts, description: unknown): void {
  server.get("/healthz", async () => ({ status: "ok", version: VERSION }));
  server.get("/readyz", async (_request, reply) => {
    const readiness = await askReadiness(parts);
    return reply.status(readiness.ready ? 200 : 503).send(readiness);
  });
  server.get("/metrics", async (_request, reply) => {
    await readLiveGauges(parts);
    return reply.type(parts.metrics.contentType).send(await parts.metrics.text());
  });
  server.get("/openapi.json", async () => description);
}

async function askReadiness(parts: HttpParts): Promise<Readiness | typeof LATE> {
  const answered = new AbortController();
  const late = parts.clock.sleep(READINESS_TIMEOUT_MS, answered.signal).then(() => LATE);
  try {
    return await Promise.race([parts.readiness(), late]);
  } finally {
    answered.abort();
  }
}
