/** What this process serves over HTTP: the API where that is its role, and pages about itself in any case. */
import type { Closing } from "./app-closing.ts";
import { type ReadinessParts, readReadiness } from "./app-readiness.ts";
import { payerPages } from "./checkout/payer-pages.ts";
import { coerceError } from "./core/errors.ts";
import type { OpenedDatabase } from "./db/open-database.ts";
import type { HttpParts } from "./http/parts.ts";
import { createHttpServer } from "./http/server.ts";
import type { Clock } from "./runtime/clock.ts";
import type { Config } from "./runtime/config/config.ts";
import type { Logger } from "./runtime/logger.ts";
import type { Metrics } from "./runtime/metrics.ts";
import { systemRandom } from "./runtime/random.ts";
import type { SecretBox } from "./runtime/secret-box.ts";

export interface ListenParts {
  readonly servesApi: boolean;
  readonly config: Config;
  readonly database: OpenedDatabase["database"];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly secretBox: SecretBox;
  readonly readinessParts: ReadinessParts;
  readonly wakeDeliverer: () => Promise<void>;
  readonly fourEyes: () => boolean;
  readonly assetsOf: HttpParts["assetsOf"];
  readonly nodes: HttpParts["nodes"];
}

/**
 * A process without the API has pages about itself where it is told to, and does its work without them where that port
 * is taken: several on one machine may share a config.
 *
 * @returns where it listens; `null`: nowhere
 * @throws {FatalError} `listen_failed` when the API cannot be served
 */
export async function listen(parts: ListenParts, closing: Closing): Promise<string | null> {
  const { config, readinessParts, ...rest } = parts;
  const port = parts.servesApi ? config.http.port : config.http.pagesPort;
  if (port === null) return null;
  const server = createHttpServer({
    ...rest,
    http: { ...config.http, port },
    chainIds: config.chains.map((chain) => chain.id),
    allowPrivateTargets: config.callbacks.allowPrivateTargets,
    firstDelayMs: config.callbacks.scheduleMs[0] ?? 0,
    deliverer: () => readinessParts.deliverer(),
    random: systemRandom,
    pages: payerPages(parts),
    readiness: () => readReadiness(readinessParts),
  });
  closing.add("http", () => server.close());
  const listening = await server.listen().catch((rawError: unknown) => {
    if (parts.servesApi) throw rawError;
    parts.logger.warn("Went on without pages about this process", { error: coerceError(rawError) });
    return null;
  });
  if (listening === null) return null;
  const { host } = listening;
  return `http://${host.includes(":") ? `[${host}]` : host}:${listening.port}`;
}
