/** Who acts at the command line, for the audit log and for four eyes. */
import { userInfo } from "node:os";
import { type Actor, operatorActor, shellActor } from "../core/actor.ts";
import { InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import { authenticateApiKey } from "../merchants/api-key-store.ts";
import { findOperatorKey } from "../runtime/config/operator-key.ts";
import type { Setup } from "./setup.ts";

/**
 * The operator whose key `DEPOSITD_OPERATOR_KEY` holds; without one the user of the shell, whose name proves nothing:
 * whoever reaches the database can be anybody there.
 *
 * @throws {InputError} `unauthorized` for a key that is unknown or revoked, `forbidden` for one of no operator
 */
export async function actingAs({ env }: Pick<Setup, "env">, sql: Sql): Promise<Actor> {
  const key = findOperatorKey(env);
  if (key === undefined) return shellActor(shellUser());
  const caller = await authenticateApiKey(sql, key);
  if (caller === undefined)
    throw new InputError("unauthorized", "The key in DEPOSITD_OPERATOR_KEY is unknown or revoked");
  if (!caller.operator)
    throw new InputError("forbidden", "The key in DEPOSITD_OPERATOR_KEY is not an operator's");
  return operatorActor(caller.keyId, caller.operatorName);
}

/** In a container the user may have a number and no name. */
function shellUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid-${process.getuid?.() ?? "unknown"}`;
  }
}
