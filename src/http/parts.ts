/** What the HTTP face is built of. */
import type { KnownAsset } from "../core/asset.ts";
import type { Database } from "../db/database.ts";
import type { DelivererHealth } from "../flow/deliver-callbacks.ts";
import type { NodeStatus } from "../rpc/node-record.ts";
import type { Clock } from "../runtime/clock.ts";
import type { HttpConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import type { Readiness } from "./readiness.ts";

/** A page for people who have no key, made elsewhere. */
export interface PublicPage {
  /** As the router writes it: `/pay/:id`. */
  readonly path: string;
  answer(params: Readonly<Record<string, string>>): Promise<{
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  }>;
}

export interface HttpParts {
  /** Whether the API is served, or the pages about the process alone: health, readiness, metrics. */
  readonly servesApi: boolean;
  readonly http: HttpConfig;
  /** The chains that are followed: where a `watchFrom` looks at the past. */
  readonly chainIds: readonly number[];
  /** `callbacks.allowPrivateTargets`: which callback URLs are taken. */
  readonly allowPrivateTargets: boolean;
  /** The first wait of `callbacks.schedule`. */
  readonly firstDelayMs: number;
  readonly database: Database;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  /** `review.fourEyes` as it is in force: a release or rejection takes two operators. */
  readonly fourEyes: () => boolean;
  /**
   * What the config in force lists on a chain: what orders may ask for.
   *
   * @throws {TemporaryError} `database_unreachable` as long as it is not read
   */
  readonly assetsOf: (chainId: number) => readonly KnownAsset[];
  /** Served beside the API. */
  readonly pages: readonly PublicPage[];
  /** Seals endpoint secrets. */
  readonly secretBox: SecretBox;
  /** What an endpoint missed while it was disabled is due now. A hint: losing it costs a sweep. */
  readonly wakeDeliverer: () => Promise<void>;
  /** The nodes this process asks, by chain; empty where it follows none. */
  readonly nodes: () => Iterable<readonly [chainId: number, nodes: readonly NodeStatus[]]>;
  /** What holds up this process's callbacks; `null` where it delivers none. */
  readonly deliverer: () => DelivererHealth | null;
  /** How every part is. It should answer within a second or two; after five the server calls it not ready. */
  readonly readiness: () => Promise<Readiness>;
}
