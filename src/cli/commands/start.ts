/** `start`: the daemon. */
import { ROLES, type Role, runDaemon } from "../../app.ts";
import { InputError } from "../../core/errors.ts";
import { loadSecretKey, readOldSecretKeys } from "../../runtime/config/secret-key.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import type { Progress } from "../progress.ts";
import { setUp } from "../setup.ts";
import { onStopSignal } from "../stop-signal.ts";

/** Runs until it is told to stop by SIGTERM or SIGINT; a second one ends it at once. */
export async function startCommand(
  options: GlobalOptions,
  wanted: { readonly roles?: string },
  progress: Progress,
): Promise<CommandResult> {
  const roles = wanted.roles === undefined ? ROLES : parseRoles(wanted.roles);
  const { config, env, logger, readAgain } = await setUp(options, "config");
  const secretKey = await loadSecretKey(config, env, systemRandom);
  const oldSecretKeys = readOldSecretKeys(env);
  const stop = new AbortController();
  const stopListening = onStopSignal(() => stop.abort());
  try {
    await runDaemon({
      config,
      roles,
      secretKey,
      oldSecretKeys,
      logger,
      readConfig: readAgain,
      signal: stop.signal,
      onCatchUp: ({ name, done, total }) => progress(done, total, name),
    });
  } finally {
    stopListening();
  }
  return { exitCode: EXIT.done, json: { stopped: true }, text: "" };
}

/** @throws {InputError} `invalid_request` for a role that there is not */
function parseRoles(text: string): readonly Role[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !ROLES.some((role) => role === name));
  if (unknown !== undefined) {
    throw new InputError(
      "invalid_request",
      `--roles takes a list of ${ROLES.join(", ")}; ${JSON.stringify(unknown)} is none of them`,
    );
  }
  return ROLES.filter((role) => names.includes(role));
}
