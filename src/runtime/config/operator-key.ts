/** Whose hand is at the command line, where it has an operator's key. */
import type { Environment } from "./environment.ts";

/** `DEPOSITD_OPERATOR_KEY`: an operator's API key; `undefined` when there is none. */
export function findOperatorKey(env: Environment): string | undefined {
  const given = env["DEPOSITD_OPERATOR_KEY"]?.trim();
  return given === "" ? undefined : given;
}
