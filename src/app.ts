/**
 * The composition root: builds the parts, starts and stops them in order. No rules of its own.
 *
 *   open the database → answer HTTP, so that /readyz can say what is missing → prepare the database → queue →
 *   workers.   Stopped in the opposite order.
 */
import { hostname } from "node:os";
import { type Closing, createClosing } from "./app-closing.ts";
import { listen } from "./app-http.ts";
import type { ReadinessParts } from "./app-readiness.ts";
import { createLiveConfig, type LiveConfig, reloadWorker } from "./app-reload.ts";
import { createHoldRules, screeningWorker, senderListsWorker } from "./app-review.ts";
import {
  housekeepingWorker,
  nodeReportWorker,
  noteAttempt,
  scanWorkers,
  settlerParts,
  settleWorkers,
  untilAborted,
  verificationEvents,
  type WorkerParts,
} from "./app-workers.ts";
import { coerceError, isRetryable, TemporaryError } from "./core/errors.ts";
import { loadFastKeccak } from "./core/keccak.ts";
import type { OpenedDatabase } from "./db/open-database.ts";
import { openUnpreparedDatabase } from "./db/open-database.ts";
import { type ClientCertificate, readClientCertificate } from "./delivery/client-certificate.ts";
import { createDeliverer, type Deliverer } from "./flow/deliver-callbacks.ts";
import type { ChainProgress } from "./flow/follower-parts.ts";
import { type RegisteredAssets, registerChains } from "./flow/register-chains.ts";
import { workReplays } from "./flow/replay-worker.ts";
import { createWakers, type Wakers } from "./flow/wake-workers.ts";
import { type AddressLoader, createAddressLoader } from "./flow/watch-addresses.ts";
import { createSenderLists, type SenderLists } from "./review/sender-lists.ts";
import { type ChainNodes, createChainNodes } from "./rpc/chain-nodes.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";
import type { Config } from "./runtime/config/config.ts";
import type { Logger } from "./runtime/logger.ts";
import { createMetrics, type Metrics } from "./runtime/metrics.ts";
import { createQueue, type Queue } from "./runtime/queue/queue.ts";
import { systemRandom } from "./runtime/random.ts";
import { createSecretBox, type SecretBox } from "./runtime/secret-box.ts";
import { createSupervisor, type Worker } from "./runtime/supervisor.ts";

export const ROLES = ["scan", "settle", "deliver", "http"] as const;
export type Role = (typeof ROLES)[number];

export interface DaemonOptions {
  readonly config: Config;
  readonly roles: readonly Role[];
  /** Encrypts endpoint secrets. */
  readonly secretKey: Buffer;
  /** Those before it, which open what was sealed under them. */
  readonly oldSecretKeys: readonly Buffer[];
  readonly logger: Logger;
  /** Aborted to stop. */
  readonly signal: AbortSignal;
  /** Reads the config again when its file changed. */
  readonly readConfig: () => Promise<Config>;
  /** Called several times a second for each chain that catches up. */
  readonly onCatchUp?: (progress: ChainProgress) => void;
  readonly onReady?: (info: { readonly url: string | null }) => void;
}

/**
 * Runs until the signal aborts, and resolves when everything is put down.
 *
 * @throws {FatalError} what a person has to mend first: the schema, an asset that changed, the embedded database
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const closing = createClosing(options.logger);
  try {
    await startDaemon(options, closing);
    await untilAborted(options.signal);
    options.logger.info("Stopping");
  } finally {
    await closing.closeAll();
  }
  options.logger.info("Stopped");
}

async function startDaemon(options: DaemonOptions, closing: Closing): Promise<void> {
  const { config, logger, roles, signal } = options;
  const clock = systemClock;
  const random = systemRandom;
  const metrics = createMetrics();
  const instance = `${hostname()}:${process.pid}:${random.bytes(3).toString("hex")}`;

  await loadFastKeccak();
  const certificateFiles = roles.includes("deliver") ? config.callbacks.clientCertificate : null;
  const clientCertificate =
    certificateFiles === null ? undefined : await readClientCertificate(certificateFiles);
  const senderLists = createSenderLists({ clock, logger });
  if (roles.includes("settle")) (await senderLists.open(config.review.senderLists))();
  const opened = await openUnpreparedDatabase(config, {
    logger,
    clock,
    random,
    migrate: config.database.migrate,
  });
  closing.add("database", opened.close);
  const database = opened.database;
  const nodesOf = openNodes(config, roles, clock, logger, metrics, closing);
  const supervisor = createSupervisor({ logger, clock, random, graceMs: config.shutdownGraceMs });
  const secretBox = createSecretBox(options.secretKey, random, options.oldSecretKeys);

  const state: StartState = {
    problem: "It is starting",
    queue: undefined,
    deliverer: undefined,
    fourEyes: () => config.review.fourEyes,
    assetsOf: () => {
      throw new TemporaryError("database_unreachable", "The assets of the config are not read yet");
    },
    wakeDeliverer: async () => undefined,
  };
  const addresses = createAddressLoader(database, random);
  const readinessParts: ReadinessParts = {
    database,
    chains: roles.includes("scan") ? config.chains : [],
    startProblem: () => state.problem,
    pingQueue: async () => state.queue?.ping(),
    loadProgress: addresses.progress,
    senderLists: senderLists.states,
    deliverer: () => state.deliverer?.health() ?? null,
    nodesOf: (chainId) => nodesOf.get(chainId)?.nodes() ?? [],
    workers: () => supervisor.health(),
    now: clock.now,
  };
  const url = await listen(
    {
      servesApi: roles.includes("http"),
      config,
      database,
      logger,
      clock,
      metrics,
      secretBox,
      readinessParts,
      wakeDeliverer: () => state.wakeDeliverer(),
      fourEyes: () => state.fourEyes(),
      assetsOf: (chainId) => state.assetsOf(chainId),
      nodes: () => [...nodesOf].map(([chainId, nodes]) => [chainId, nodes.nodes()] as const),
    },
    closing,
  );

  const assets = await prepare(opened, config, { logger, clock, signal }, (problem) => {
    state.problem = problem;
  });
  if (assets === undefined) return;
  const live = createLiveConfig(config, assets);
  state.fourEyes = () => live.review().fourEyes;
  state.assetsOf = live.assetsOf;

  const queue = createQueue({
    config: config.queue,
    databaseUrl: opened.url,
    logger,
    clock,
    onHintLost: (name) => metrics.queueNudgesLost.inc({ queue: name }),
  });
  state.queue = queue;
  closing.add("queue", () => queue.close(config.shutdownGraceMs));
  closing.add("workers", () => supervisor.stop());
  const { review } = live;
  const base = { config, review, database, clock, logger, metrics, instance, onCatchUp: options.onCatchUp };
  const built = {
    ...base,
    roles,
    queue,
    secretBox,
    nodesOf,
    live,
    addresses,
    clientCertificate,
    senderLists,
  };
  const { workers, wakers, deliverer } = buildWorkers(built);
  state.deliverer = deliverer;
  const reloads = reloadWorker({
    ...base,
    live,
    nodesOf,
    wakers,
    senderLists: roles.includes("settle") ? senderLists : null,
    readConfig: options.readConfig,
  });
  supervisor.start([...workers, reloads]);
  state.wakeDeliverer = wakers.deliver;
  state.problem = null;
  logger.info("Started", { roles, instance, url, chains: config.chains.map((chain) => chain.id) });
  options.onReady?.({ url });
}

/** What HTTP needs before all of it is there. */
interface StartState {
  /** What keeps the daemon from its work; `null` when nothing does. */
  problem: string | null;
  queue: Queue | undefined;
  deliverer: Deliverer | undefined;
  wakeDeliverer: () => Promise<void>;
  fourEyes: () => boolean;
  assetsOf: LiveConfig["assetsOf"];
}

interface BuildParts extends Omit<WorkerParts, "wakers"> {
  readonly roles: readonly Role[];
  readonly queue: Queue;
  readonly secretBox: SecretBox;
  readonly nodesOf: ReadonlyMap<number, ChainNodes>;
  readonly live: LiveConfig;
  readonly addresses: AddressLoader;
  readonly clientCertificate: ClientCertificate | undefined;
  readonly senderLists: SenderLists;
}

function buildWorkers(parts: BuildParts): {
  readonly workers: Worker[];
  readonly wakers: Wakers;
  readonly deliverer: Deliverer | undefined;
} {
  const { config, database, queue, clock, logger, metrics, roles } = parts;
  const deliverer = roles.includes("deliver")
    ? createDeliverer({
        database,
        clientCertificate: parts.clientCertificate,
        secretBox: parts.secretBox,
        callbacks: parts.live.callbacks,
        sweepIntervalMs: config.sweepIntervalMs,
        shutdownGraceMs: config.shutdownGraceMs,
        clock,
        random: systemRandom,
        logger,
        onRetryAt: (time) => void wakers.deliverAt(time),
        onAttempt: (attempt) => noteAttempt(metrics, attempt),
      })
    : undefined;
  const wakers = createWakers({
    queue,
    clock,
    random: systemRandom,
    ...(deliverer === undefined ? {} : { deliverHere: deliverer.nudge }),
  });
  const workerParts: WorkerParts = { ...parts, wakers };

  const workers: Worker[] = [housekeepingWorker(workerParts)];
  if (roles.includes("scan")) {
    workers.push(...scanWorkers(workerParts, parts.nodesOf, parts.live.assetsOf, parts.addresses));
    workers.push(nodeReportWorker(workerParts, parts.nodesOf));
  }
  if (roles.includes("settle")) {
    const holdRules = createHoldRules(parts.review, parts.senderLists);
    workers.push(...settleWorkers(settlerParts(workerParts, queue, holdRules), config.shutdownGraceMs));
    workers.push(senderListsWorker(parts), screeningWorker(workerParts));
  }
  if (deliverer !== undefined) workers.push(...deliverWorkers(workerParts, queue, deliverer));
  return { workers, wakers, deliverer };
}

/** The pump itself, the queue's jobs that wake it, and replays that go on by themselves. */
function deliverWorkers(parts: WorkerParts, queue: Queue, deliverer: Deliverer): Worker[] {
  const { config } = parts;
  const replayParts = { ...parts, sweepIntervalMs: config.sweepIntervalMs, wakeDeliverer: deliverer.nudge };
  return [
    { name: "deliver", run: (signal) => deliverer.run(signal) },
    { name: "watch secrets", run: (signal) => deliverer.watchSecrets(signal) },
    { name: "replay deliveries", run: (signal) => workReplays(replayParts, signal) },
    {
      name: "deliver jobs",
      run: async (signal) => {
        const worker = queue.work("deliver", { concurrency: 1, handle: async () => deliverer.nudge() });
        try {
          await untilAborted(signal);
        } finally {
          await worker.close(config.shutdownGraceMs);
        }
      },
    },
  ];
}

function openNodes(
  config: Config,
  roles: readonly Role[],
  clock: Clock,
  logger: Logger,
  metrics: Metrics,
  closing: Closing,
): ReadonlyMap<number, ChainNodes> {
  if (!roles.includes("scan")) return new Map();
  const nodesOf = new Map(
    config.chains.map((chain) => {
      const events = verificationEvents(metrics, chain.id);
      return [chain.id, createChainNodes({ chain, clock, logger, events })];
    }),
  );
  closing.add("nodes", async () => {
    await Promise.all([...nodesOf.values()].map((nodes) => nodes.close()));
  });
  return nodesOf;
}

/**
 * Tries until the database is there: a daemon that is started before its database waits for it.
 *
 * @returns `undefined` when it was stopped meanwhile
 */
async function prepare(
  opened: OpenedDatabase,
  config: Config,
  runtime: { logger: Logger; clock: Clock; signal: AbortSignal },
  onProblem: (problem: string) => void,
): Promise<RegisteredAssets | undefined> {
  // 0.5, 1, 2, 4, 8, 10, 10, … seconds
  for (let delayMs = 500; !runtime.signal.aborted; delayMs = Math.min(10_000, delayMs * 2)) {
    try {
      await opened.prepare();
      return (await registerChains(opened.database, config.chains, runtime.logger)).assets;
    } catch (rawError) {
      if (!isRetryable(rawError)) throw rawError;
      const { message } = coerceError(rawError);
      onProblem(message);
      runtime.logger.warn("Waiting for the database", { problem: message, retry_in_ms: delayMs });
      await runtime.clock.sleep(delayMs, runtime.signal);
    }
  }
  return undefined;
}
