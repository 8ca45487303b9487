/** A cluster on disk: PostgreSQL's data, the password of its one user, the port it had last, the server's log. */

import { chown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { FatalError } from "../../core/errors.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Random } from "../../runtime/random.ts";
import type { Binaries } from "./binaries.ts";
import { CLUSTER_FOLDER, type Placement } from "./placement.ts";
import { runProgram } from "./run-program.ts";

export const CLUSTER_USER = "depositd";

export interface Cluster {
  readonly dataFolder: string;
  readonly logFile: string;
  readonly portFile: string;
  readonly password: string;
}

export interface ClusterOptions {
  readonly random: Random;
  readonly logger: Logger;
  /** False: for a cluster that is thrown away anyway, disks are not waited for. */
  readonly isDurable: boolean;
}

/**
 * The cluster of this place, made if there is none. It is made in a folder of its own and renamed when it is
 * complete, so that what exists is whole, and of two processes that make it at once one wins and both use it.
 *
 * @throws FatalError `embedded_database_failed` when initdb fails or the data is of another major version
 */
export async function openCluster(
  placement: Placement,
  binaries: Binaries,
  options: ClusterOptions,
): Promise<Cluster> {
  const folder = join(placement.folder, CLUSTER_FOLDER);
  if (!(await exists(folder))) {
    await removeHalfMade(placement.folder);
    await createCluster(folder, placement, binaries, options);
  }
  const dataFolder = join(folder, "data");
  const version = Number(await readFile(join(dataFolder, "PG_VERSION"), "utf8"));
  if (version !== binaries.majorVersion) {
    throw new FatalError(
      "embedded_database_failed",
      `The embedded database in ${folder} is of PostgreSQL ${version}, but this depositd brings PostgreSQL ` +
        `${binaries.majorVersion}. Dump it with the older depositd's server and restore it, or set database.url.`,
    );
  }
  return {
    dataFolder,
    logFile: join(folder, "server.log"),
    portFile: join(folder, "port"),
    password: (await readFile(join(folder, "password"), "utf8")).trim(),
  };
}

async function createCluster(
  folder: string,
  placement: Placement,
  binaries: Binaries,
  { random, logger, isDurable }: ClusterOptions,
): Promise<void> {
  const half = `${folder}.new-${process.pid}-${random.bytes(4).toString("hex")}`;
  const passwordFile = join(half, "password");
  await mkdir(half, { mode: 0o700 });
  await writeFile(passwordFile, `${random.bytes(24).toString("base64url")}\n`, { mode: 0o600, flush: true });
  const { account } = placement;
  if (account !== undefined) {
    await chown(half, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  const result = await runProgram(
    binaries.initdb,
    [
      `--pgdata=${join(half, "data")}`,
      `--username=${CLUSTER_USER}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--locale=C",
      ...(isDurable ? [] : ["--no-sync"]),
    ],
    account,
  );
  if (result.exitCode !== 0) {
    await rm(half, { recursive: true, force: true });
    throw new FatalError(
      "embedded_database_failed",
      `Could not make the embedded database: ${result.output}`,
      {
        folder,
      },
    );
  }
  await keep(half, folder, placement.folder);
  logger.info("Made the embedded database", { folder });
}

async function keep(half: string, folder: string, parent: string): Promise<void> {
  try {
    await rename(half, folder);
  } catch (rawError) {
    await rm(half, { recursive: true, force: true });
    if (!(await exists(folder))) throw rawError;
    return; // another process was first; its cluster is as good as ours
  }
  // The new name itself must survive a power failure, or the next start would make an empty database again.
  const handle = await open(parent, "r");
  await handle.sync();
  await handle.close();
}

/** Removes what processes that are no more left behind half-made. */
async function removeHalfMade(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^postgresql\.new-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isProcessAlive(Number(pid))) {
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (rawError) {
    return (rawError as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The wished port, else the one it had last time, else any free one. Only 127.0.0.1 matters: nothing else listens. */
export async function choosePort(cluster: Cluster, wished: number | undefined): Promise<number> {
  if (wished !== undefined) return wished;
  const last = Number(await readFile(cluster.portFile, "utf8").catch(() => ""));
  const port = last > 0 ? await tryListen(last) : undefined;
  return port ?? (await tryListen(0)) ?? Promise.reject(new Error("No free port on 127.0.0.1"));
}

function tryListen(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? address?.port : undefined));
    });
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}
