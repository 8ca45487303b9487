/**
 * Decides in which folder a cluster lives. Beside the rest of the data, unless the server's account cannot get
 * there: then under /var/lib/depositd, with a note in the data folder that tells where. Nothing above the data
 * folder is ever opened up for that account.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FatalError } from "../../core/errors.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Random } from "../../runtime/random.ts";
import { findServerAccount } from "./account.ts";
import { runProgram, type ServerAccount } from "./run-program.ts";

export interface Placement {
  /** Holds the cluster's folder: passable for the account. */
  readonly folder: string;
  /** Where a copy of PostgreSQL's programs may go. */
  readonly binariesFolder: string;
  /** `undefined`: the server runs as we do. */
  readonly account: ServerAccount | undefined;
}

const SHARED_FOLDER = "/var/lib/depositd";
export const CLUSTER_FOLDER = "postgresql";
export const POINTER_FILE = "postgresql-is-elsewhere.txt";

export async function findPlacement(dataDir: string, random: Random, logger: Logger): Promise<Placement> {
  await mkdir(dataDir, { recursive: true });
  const own = await realpath(dataDir);
  if (process.getuid?.() !== 0) return { folder: own, binariesFolder: own, account: undefined };

  const known = await readPointer(own);
  if (known !== undefined) await checkExists(known, own);
  const account = (await clusterOwner(known ?? own)) ?? (await findServerAccount(logger));
  const at = (folder: string): Placement => ({ folder, binariesFolder: SHARED_FOLDER, account });
  if (known !== undefined) return at(known);
  if (account === undefined || (await canEnter(own, account))) return at(own);
  return at(await placeElsewhere(own, random, logger));
}

/** Where the data folder's note says the cluster is, if there is such a note. */
export async function readPointer(dataDir: string): Promise<string | undefined> {
  const text = await readFile(join(dataDir, POINTER_FILE), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.split("\n").find((line) => line.startsWith("/"));
}

/** An empty database in the place of a lost one would be a database without anybody's money. */
async function checkExists(folder: string, dataDir: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found !== undefined) return;
  throw new FatalError(
    "embedded_database_failed",
    `The embedded database should be in ${folder}, as ${join(dataDir, POINTER_FILE)} says, but that folder is ` +
      "gone. Restore it, or delete that file to begin with an empty database.",
  );
}

/** A cluster that exists decides: its owner runs it, whoever started it first. */
async function clusterOwner(folder: string): Promise<ServerAccount | undefined> {
  const found = await stat(join(folder, CLUSTER_FOLDER)).catch(() => undefined);
  return found === undefined || found.uid === 0 ? undefined : { uid: found.uid, gid: found.gid };
}

/** Asked of the system itself, as that account: mode bits alone do not know of access lists and the like. */
async function canEnter(folder: string, account: ServerAccount): Promise<boolean> {
  const result = await runProgram("/bin/sh", ["-c", 'test -x "$1"', "sh", folder], account);
  return result.exitCode === 0;
}

/** The note is written before anything is put there: a data folder without a note has never had a cluster. */
async function placeElsewhere(dataDir: string, random: Random, logger: Logger): Promise<string> {
  const hash = createHash("sha256").update(dataDir).digest("hex").slice(0, 12);
  // Never the same folder twice: who deletes the data folder wants to begin anew, not to find old money again.
  const folder = join(SHARED_FOLDER, `${hash}-${random.bytes(4).toString("hex")}`);
  for (const made of [SHARED_FOLDER, folder]) {
    await mkdir(made, { recursive: true });
    await chmod(made, 0o755);
  }
  const note = `The embedded PostgreSQL of this data folder is in\n${folder}\nbecause PostgreSQL does not run as root, and its own user cannot enter this folder.\nKeep this file: it is how depositd finds its database again. A backup needs both.\n`;
  await writeFile(
    join(folder, "README.txt"),
    `The embedded PostgreSQL of depositd's data folder ${dataDir}\n`,
  );
  await writeFile(join(dataDir, POINTER_FILE), note, { flush: true });
  logger.warn("Put the embedded PostgreSQL elsewhere, because its user cannot enter the data folder", {
    data_dir: dataDir,
    postgresql_folder: folder,
  });
  return folder;
}
