/** The key that encrypts endpoint secrets at rest. */
import { link, mkdir, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { coerceError, FatalError, InputError } from "../../core/errors.ts";
import type { Random } from "../random.ts";
import type { Config } from "./config.ts";
import type { Environment } from "./environment.ts";

const KEY_BYTES = 32;
const KEY_FILE = "secret.key";

/**
 * `DEPOSITD_SECRET_KEY`, 32 bytes in hex. Without it the embedded database has a key file beside it, made at the
 * first call: whoever can read the one can read the other. A database elsewhere needs the variable, because a
 * second machine would make a second key.
 *
 * @throws {InputError} `secret_key_wrong` when it is not 64 hexadecimal digits.
 * @throws {FatalError} `secret_key_missing` when there is none and the database is not embedded.
 */
export async function loadSecretKey(config: Config, env: Environment, random: Random): Promise<Buffer> {
  const found = await findSecretKey(config, env);
  if (found !== undefined) return found;
  if (config.database.url !== null) {
    throw new FatalError(
      "secret_key_missing",
      "DEPOSITD_SECRET_KEY is not set: with a database of your own it must be 32 random bytes in hex, the same on every machine (openssl rand -hex 32)",
    );
  }
  return makeKeyFile(config.dataDir, join(config.dataDir, KEY_FILE), random);
}

/** The key if there is one; makes none. @throws {InputError} `secret_key_wrong` */
export async function findSecretKey(config: Config, env: Environment): Promise<Buffer | undefined> {
  const given = env["DEPOSITD_SECRET_KEY"];
  if (given !== undefined && given !== "") return parseKey(given, "DEPOSITD_SECRET_KEY");
  return config.database.url === null ? readKeyFile(join(config.dataDir, KEY_FILE)) : undefined;
}

/**
 * `DEPOSITD_OLD_SECRET_KEYS`: keys that `DEPOSITD_SECRET_KEY` was before, separated by commas. They open what was
 * sealed under them until it is sealed again.
 *
 * @throws {InputError} `secret_key_wrong`
 */
export function readOldSecretKeys(env: Environment): Buffer[] {
  const given = (env["DEPOSITD_OLD_SECRET_KEYS"] ?? "").split(",").filter((text) => text.trim() !== "");
  return given.map((text) => parseKey(text, "DEPOSITD_OLD_SECRET_KEYS"));
}

function parseKey(text: string, where: string): Buffer {
  if (/^[0-9a-fA-F]{64}$/.test(text.trim())) return Buffer.from(text.trim(), "hex");
  throw new InputError("secret_key_wrong", `${where} must hold 64 hexadecimal digits (32 bytes)`, { where });
}

async function readKeyFile(file: string): Promise<Buffer | undefined> {
  try {
    return parseKey(await readFile(file, "utf8"), file);
  } catch (rawError) {
    if (hasCode(rawError, "ENOENT")) return undefined;
    throw rawError;
  }
}

/** Written whole under another name, then linked: a crash leaves no half key, and of two processes one wins. */
async function makeKeyFile(dataDir: string, file: string, random: Random): Promise<Buffer> {
  await mkdir(dataDir, { recursive: true });
  const draft = `${file}.${random.bytes(6).toString("hex")}`;
  const handle = await open(draft, "wx", 0o600);
  try {
    await handle.writeFile(`${random.bytes(KEY_BYTES).toString("hex")}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(draft, file);
  } catch (rawError) {
    if (!hasCode(rawError, "EEXIST")) throw coerceError(rawError);
  } finally {
    await unlink(draft);
  }
  return parseKey(await readFile(file, "utf8"), file);
}

function hasCode(rawError: unknown, code: string): boolean {
  return coerceError(rawError) instanceof Error && (rawError as { code?: unknown } | null)?.code === code;
}
