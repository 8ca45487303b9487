/** Pages for the machines that run the daemon: no key, no merchant's data. */
import type { FastifyInstance } from "fastify";
import { InputError } from "../../core/errors.ts";
import { VERSION } from "../../runtime/version.ts";
import { findEventSchema } from "../event-shapes.ts";
import { readLiveGauges } from "../live-gauges.ts";
import type { HttpParts } from "../parts.ts";
import type { Readiness } from "../readiness.ts";

/** Orchestrators ask with a timeout of their own, of ten seconds or so; an answer after it helps nobody. */
const READINESS_TIMEOUT_MS = 5_000;

const LATE: Pick<Readiness, "ready"> & { problem: string } = {
  ready: false,
  problem: `The parts did not answer within ${READINESS_TIMEOUT_MS / 1000} s`,
};

export function addServiceRoutes(server: FastifyInstance, parts: HttpParts): void {
  server.get("/healthz", async () => ({ status: "ok", version: VERSION }));
  server.get("/readyz", async (_request, reply) => {
    const readiness = await askReadiness(parts);
    return reply.status(readiness.ready ? 200 : 503).send(readiness);
  });
  server.get("/metrics", async (_request, reply) => {
    await readLiveGauges(parts);
    return reply.type(parts.metrics.contentType).send(await parts.metrics.text());
  });
}

/** What the API is, for those who use it. */
export function addDescriptionRoutes(server: FastifyInstance, description: unknown): void {
  server.get("/openapi.json", async () => description);
  server.get<{ Params: { name: string } }>("/schemas/:name", async ({ params }, reply) => {
    const schema = findEventSchema(params.name.replace(/\.json$/, ""));
    if (schema === undefined) throw new InputError("not_found", "There is no such event type");
    return reply.type("application/schema+json").send(JSON.stringify(schema));
  });
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
