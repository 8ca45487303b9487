/** The built program as a shell runs it: a process with arguments, output and an exit code, beside a database. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { createTestDatabase, type TestDatabase } from "./database.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
/** Nobody is there; its path is a secret. */
export const AWAY_NODE_URL = "http://127.0.0.1:1/v3/s3cr3t";

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramRig {
  readonly db: TestDatabase;
  /** Where it runs. */
  readonly folder: string;
  /** With nothing of this process's environment but the path. */
  depositd(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended>;
  /** Writes a config and answers its path. */
  configFile(name: string, more?: Readonly<Record<string, unknown>>): Promise<string>;
  drop(): Promise<void>;
}

export async function createProgramRig(): Promise<ProgramRig> {
  const folder = await mkdtemp(join(tmpdir(), "depositd-cli-"));
  const db = await createTestDatabase();
  return {
    db,
    folder,
    depositd: (args, env = {}) => run(folder, args, env),
    configFile: async (name, more = {}) => {
      const file = join(folder, name);
      const native = { currency: "ETH", decimals: 18, internal: "none" };
      const chain = { id: 1, nodes: [{ url: AWAY_NODE_URL }], native };
      await writeFile(file, stringify({ database: { url: db.url }, chains: [chain], ...more }));
      return file;
    },
    drop: async () => {
      await db.drop();
      await rm(folder, { recursive: true });
    },
  };
}

function run(cwd: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const options = { cwd, env: { PATH: process.env["PATH"], ...env } };
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], options, (error, stdout, stderr) => {
      const exitCode = typeof error?.code === "number" ? error.code : error === null ? 0 : -1;
      resolve({ exitCode, stdout, stderr });
    });
  });
}
