/**
 * The whole config file: every key, how it is written, and what holds when it is left out. `config/depositd.yaml`
 * explains the keys to those who write one; the reasons for the defaults are here.
 */
import { z } from "zod";
import { LOG_LEVELS } from "../logger.ts";
import { chainShape } from "./chain-shape.ts";
import { boolean, duration, integer, oneOf, optionalUrl, text, url } from "./leaves.ts";
import { reviewShape } from "./review-shape.ts";

const SECOND = 1_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;

/** Standard Webhooks asks for a schedule over days: at once for a blink, then long enough to sleep and repair. */
const DEFAULT_SCHEDULE_MS = [
  0,
  5 * SECOND,
  300 * SECOND,
  1_800 * SECOND,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

const databaseShape = z
  .strictObject(
    {
      url: optionalUrl("postgres", "postgresql").default(null),
      // Followers, settlers, deliverers and the API share them; PostgreSQL itself allows 100 by default.
      maxConnections: integer(2, 500).default(10),
      migrate: boolean.default(true),
    },
    { error: "expected { url, maxConnections, migrate }" },
  )
  .prefault({});

const queueShape = z
  .strictObject({ url: optionalUrl("redis", "rediss").default(null) }, { error: "expected { url }" })
  .prefault({});

const httpShape = z
  .strictObject(
    {
      // Only this machine, until somebody says otherwise.
      host: text("a host name or IP address", /^[A-Za-z0-9._:-]{1,255}$/).default("127.0.0.1"),
      port: integer(0, 65_535).default(8420),
      // Never `port` unasked: the process with the API may come second on the same machine.
      pagesPort: integer(0, 65_535).nullable().default(null),
      publicUrl: url("http", "https").optional(),
    },
    { error: "expected { host, port, pagesPort, publicUrl }" },
  )
  .prefault({});

const callbacksShape = z
  .strictObject(
    {
      // 15 to 30 s is what Standard Webhooks recommends; the shorter end holds fewer connections for slow ones.
      timeout: duration(10, 120 * SECOND).default(15 * SECOND),
      schedule: z
        .array(duration(0, 7 * DAY), { error: "expected a list of durations" })
        .min(1, { error: "expected one attempt or more" })
        .max(50, { error: "expected at most 50 attempts" })
        .default(DEFAULT_SCHEDULE_MS),
      allowPrivateTargets: boolean.default(false),
      // Within `timeout`; left out, the headers may take all of it.
      connectTimeout: duration(10, 120 * SECOND).default(10 * SECOND),
      headersTimeout: duration(10, 120 * SECOND).optional(),
      bodyTimeout: duration(10, 120 * SECOND).default(5 * SECOND),
      proxy: optionalUrl("http", "https").default(null),
      clientCertificate: z
        .strictObject(
          { certFile: text("a file", /^[^\0]+$/), keyFile: text("a file", /^[^\0]+$/) },
          { error: "expected { certFile, keyFile }" },
        )
        .nullable()
        .default(null),
      // Longer than the schedule: every delivery gets its attempts, and a long weekend passes.
      disableAfter: duration(HOUR, 90 * DAY).default(5 * DAY),
      concurrency: integer(1, 2_000).default(64),
    },
    {
      error:
        "expected { timeout, connectTimeout, headersTimeout, bodyTimeout, schedule, allowPrivateTargets, proxy, clientCertificate, disableAfter, concurrency }",
    },
  )
  .prefault({});

export const fileShape = z.strictObject(
  {
    database: databaseShape,
    queue: queueShape,
    dataDir: text("a folder", /^[^\0]+$/).default("./data"),
    logLevel: oneOf(LOG_LEVELS).default("info"),
    http: httpShape,
    callbacks: callbacksShape,
    review: reviewShape,
    // What a lost queue costs at most. The queries behind it read partial indexes that hold live work only.
    sweepInterval: duration(50, HOUR).default(5 * SECOND),
    // A takeover waits this long; a renewal every third of it survives a short pause of the process.
    lease: duration(SECOND, HOUR).default(15 * SECOND),
    // Container runtimes send SIGKILL 10 s after SIGTERM; two of them are for the database to stop.
    shutdownGrace: duration(100, HOUR).default(8 * SECOND),
    chains: z
      .array(chainShape, { error: "expected a list of chains" })
      .min(1, { error: "expected one chain or more" }),
  },
  { error: "expected a map with database, queue, http, callbacks and chains" },
);

export type FileShape = z.output<typeof fileShape>;
