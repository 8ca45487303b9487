/** The one door to the process's environment. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "dotenv";
import { coerceError, InputError } from "../../core/errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The environment, with what `.env` in the working directory adds to it. A variable that is set for the process
 * wins over the file.
 *
 * @throws {InputError} `config_unreadable` when there is a `.env` that cannot be read.
 */
export async function readEnvironment(cwd: string): Promise<Environment> {
  return { ...(await readEnvFile(join(cwd, ".env"))), ...process.env };
}

async function readEnvFile(file: string): Promise<Record<string, string>> {
  try {
    return parse(await readFile(file));
  } catch (rawError) {
    const error = coerceError(rawError);
    if ("code" in error && error.code === "ENOENT") return {};
    throw new InputError("config_unreadable", `${file} cannot be read: ${error.message}`, { file });
  }
}
