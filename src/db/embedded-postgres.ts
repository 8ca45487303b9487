/**
 * A PostgreSQL server of our own under a data folder: made at the first start, found again at the next, shared
 * by all depositd processes of that folder, stopped by the last of them to leave.
 *
 * The server is a program of its own. It outlives a daemon that was killed, and the next one adopts it. When it
 * is the server that dies, whoever is there starts it again on the same port.
 */
import { rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Client } from "pg";
import { coerceError, FatalError, TemporaryError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import { findBinaries } from "./embedded/binaries.ts";
import { choosePort, openCluster } from "./embedded/cluster.ts";
import { CLUSTER_FOLDER, findPlacement, POINTER_FILE, readPointer } from "./embedded/placement.ts";
import { arrive, connectionUrl, DATABASE_NAME, leave } from "./embedded/presence.ts";
import { readServerState, type ServerContext, startServer, stopServer } from "./embedded/server.ts";

export interface EmbeddedPostgres {
  /** With a password: never log it. */
  readonly url: string;
  /** Leaves, and stops the server if nobody else uses it. Close your own connections first. May be called again. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  readonly dataDir: string;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Else the port it had last time, or any free one. A running server keeps the port it has. */
  readonly port?: number;
  /** More settings for the server, if this call starts it. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Whether this data folder has a cluster already; starts and makes nothing. */
export async function hasEmbeddedPostgres(dataDir: string): Promise<boolean> {
  const folder = (await readPointer(resolve(dataDir))) ?? resolve(dataDir);
  return stat(join(folder, CLUSTER_FOLDER)).then(
    () => true,
    () => false,
  );
}

interface Seat {
  readonly client: Client;
  readonly port: number;
}

const START_ATTEMPTS = 3;
const POLL_MS = 25;
/** Recovery after a crash may read a gigabyte of log before the server answers. */
const READY_TIMEOUT_MS = 300_000;

/**
 * Starts the server, or joins the one that runs, and answers when it answers.
 *
 * @throws FatalError `embedded_database_failed` when it cannot be made or started on this machine
 * @throws TemporaryError `database_unreachable` when it is still recovering after five minutes
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { logger, clock, random } = options;
  const placement = await findPlacement(resolve(options.dataDir), random, logger);
  const binaries = await findBinaries(placement.account, placement.binariesFolder, logger);
  const cluster = await openCluster(placement, binaries, {
    random,
    logger,
    isDurable: options.settings?.["fsync"] !== "off",
  });
  const context: ServerContext = {
    cluster,
    binaries,
    account: placement.account,
    settings: options.settings ?? {},
    clock,
    logger,
  };

  const stopping = new AbortController();
  let keeping: Promise<void> | undefined;
  let seat: Seat;
  const onLost = (error: Error | undefined) => {
    if (stopping.signal.aborted) return;
    logger.warn("Lost the embedded database", { error });
    keeping = takeSeatAgain();
  };
  const takeSeatAgain = async () => {
    // 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, … seconds
    for (let attempt = 0; !stopping.signal.aborted; attempt++) {
      await clock.sleep(Math.min(5_000, 200 * 2 ** attempt), stopping.signal);
      if (stopping.signal.aborted) return;
      try {
        seat = await takeSeat(context, seat.port, onLost);
        logger.info("Found the embedded database again");
        return;
      } catch (rawError) {
        logger.error("Could not bring the embedded database back", { error: coerceError(rawError) });
      }
    }
  };

  seat = await takeSeat(context, options.port, onLost);
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    stopping.abort();
    await keeping;
    await leaveSeat(seat.client, context);
  };
  return {
    url: connectionUrl(cluster, seat.port, DATABASE_NAME),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** Deletes the cluster of a data folder, wherever it is. Only for folders that were made to be thrown away. */
export async function deleteEmbeddedPostgres(dataDir: string): Promise<void> {
  const elsewhere = await readPointer(resolve(dataDir));
  await rm(join(resolve(dataDir), CLUSTER_FOLDER), { recursive: true, force: true });
  if (elsewhere === undefined) return;
  await rm(elsewhere, { recursive: true, force: true });
  await rm(join(resolve(dataDir), POINTER_FILE));
}

/** Joins the server, and starts it as often as it takes: another process may stop or start it at any moment. */
async function takeSeat(
  context: ServerContext,
  wishedPort: number | undefined,
  onLost: (error: Error | undefined) => void,
): Promise<Seat> {
  const { clock } = context;
  const until = clock.monotonic() + READY_TIMEOUT_MS;
  let failures = 0;
  let reason = "it does not answer";
  while (clock.monotonic() < until) {
    const state = await readServerState(context.cluster.dataFolder);
    if (state.kind === "ready") {
      const joined = await arrive(context.cluster, state.port, onLost);
      if (!("reason" in joined)) return { client: joined, port: state.port };
      reason = joined.reason;
    } else if (state.kind === "stopped") {
      const failure = await startServer(context, await choosePort(context.cluster, wishedPort));
      // Two may start it at once: PostgreSQL itself lets one win, and the other finds the winner's server.
      if (failure === undefined) continue;
      reason = failure;
      failures += 1;
      if (failures >= START_ATTEMPTS) throw notStarted(context, reason);
    }
    await clock.sleep(POLL_MS);
  }
  throw new TemporaryError("database_unreachable", `The embedded database is not ready: ${reason}`);
}

function notStarted(context: ServerContext, reason: string): FatalError {
  return new FatalError("embedded_database_failed", `The embedded PostgreSQL did not start: ${reason}`, {
    log_file: context.cluster.logFile,
  });
}

async function leaveSeat(client: Client, context: ServerContext): Promise<void> {
  // A session that broke a moment ago cannot tell who is here: then the server is left alone.
  const isLast = await leave(client).catch((rawError: unknown) => {
    context.logger.warn("Left the embedded database without a goodbye", { error: coerceError(rawError) });
    return false;
  });
  if (isLast) {
    const failure = await stopServer(context);
    if (failure === undefined) context.logger.info("Stopped the embedded database");
    else context.logger.error("Could not stop the embedded database", { reason: failure });
  }
  await client.end().catch(() => undefined);
}
