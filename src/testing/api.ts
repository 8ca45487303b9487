/** The HTTP API over a test database, without a socket. */
import type { FastifyInstance } from "fastify";
import type { HttpParts } from "../http/parts.ts";
import type { Readiness } from "../http/readiness.ts";
import { buildServer } from "../http/server.ts";
import { createApiKey } from "../merchants/api-key-store.ts";
import { createMerchant } from "../merchants/merchant-store.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogFields, type Logger, silentLogger } from "../runtime/logger.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import type { TestDatabase } from "./database.ts";
import { CHAIN_ID } from "./factory.ts";

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** `undefined` when there is none. */
  readonly body: unknown;
}

export interface ApiCall {
  readonly body?: unknown;
  /** Sent as it is, in place of `body`. */
  readonly text?: string;
  /** `null`: none. Left out: the test merchant's. */
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TestApi {
  readonly merchantId: string;
  readonly key: string;
  readonly parts: HttpParts;
  /** Everything that was logged: level, sentence, fields. */
  readonly log: readonly [level: string, sentence: string, fields: LogFields][];
  readonly server: FastifyInstance;
  call(method: "GET" | "POST" | "PATCH" | "DELETE" | "PUT", path: string, call?: ApiCall): Promise<ApiAnswer>;
  /** Another merchant's key. */
  addMerchant(name: string): Promise<{ id: string; key: string }>;
  /** An operator's key, of the test merchant. @param name `null`: of nobody in particular */
  addOperator(name: string | null): Promise<string>;
}

export const READY: Readiness = {
  ready: true,
  database: { ready: true, problem: null },
  queue: { ready: true, problem: null },
  chains: [],
  callbacks: { ready: true, problem: null },
  workers: [],
  notes: [],
};

export async function createTestApi(test: TestDatabase, given: Partial<HttpParts> = {}): Promise<TestApi> {
  const log: [string, string, LogFields][] = [];
  const { database } = test;
  const addMerchant = async (name: string) => {
    const { merchant, apiKey } = await createMerchant(database, systemRandom, { name, operator: false });
    return { id: merchant.id, key: apiKey.key };
  };
  const { id: merchantId, key } = await addMerchant("Shop");
  const parts: HttpParts = {
    http: { host: "127.0.0.1", port: 0, pagesPort: null, publicUrl: "http://127.0.0.1:8420" },
    chainIds: [CHAIN_ID],
    allowPrivateTargets: false,
    firstDelayMs: 0,
    fourEyes: () => false,
    assetsOf: () => [],
    pages: [],
    database,
    logger: recordingLogger(log),
    clock: systemClock,
    random: systemRandom,
    metrics: createMetrics(),
    secretBox: createSecretBox(systemRandom.bytes(32), systemRandom),
    nodes: () => [],
    deliverer: () => null,
    wakeDeliverer: async () => undefined,
    servesApi: true,
    readiness: async () => READY,
    ...given,
  };
  const server = buildServer(parts);
  return {
    merchantId,
    key,
    parts,
    log,
    server,
    addMerchant,
    addOperator: async (name) => {
      const wanted = { merchantId, operator: true, operatorName: name };
      return (await createApiKey(database, systemRandom, wanted)).key;
    },
    call: (method, path, call) => inject(server, key, method, path, call),
  };
}

async function inject(
  server: FastifyInstance,
  ownKey: string,
  method: "GET" | "POST" | "PATCH" | "DELETE" | "PUT",
  url: string,
  call: ApiCall = {},
): Promise<ApiAnswer> {
  const { key = ownKey, body } = call;
  const payload = call.text ?? (body === undefined ? undefined : JSON.stringify(body));
  const answer = await server.inject({
    method,
    url,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(payload === undefined ? {} : { "content-type": "application/json" }),
      ...call.headers,
    },
    ...(payload === undefined ? {} : { payload }),
  });
  const isJson = String(answer.headers["content-type"]).includes("json");
  return {
    status: answer.statusCode,
    headers: answer.headers,
    text: answer.body,
    body: isJson ? (JSON.parse(answer.body) as unknown) : undefined,
  };
}

function recordingLogger(log: [string, string, LogFields][]): Logger {
  const at =
    (level: string) =>
    (sentence: string, fields: LogFields = {}) => {
      log.push([level, sentence, fields]);
    };
  return { ...silentLogger, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
