/** PostgreSQL refuses to run as root. Here is found, or made, whom it runs as instead. */
import { FatalError } from "../../core/errors.ts";
import type { Logger } from "../../runtime/logger.ts";
import { runProgram, type ServerAccount } from "./run-program.ts";

const USER_NAME = "postgres";

/** The same wish in the words of shadow-utils, of Debian's adduser and of BusyBox. */
const CREATE_COMMANDS = [
  ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", USER_NAME],
  ["adduser", "--system", "--group", "--no-create-home", USER_NAME],
  ["adduser", "-S", "-D", "-H", USER_NAME],
] as const;

/**
 * The account the server runs as: `undefined` (our own) unless we are root, then the user `postgres`, made if it
 * does not exist, else `nobody`.
 *
 * @throws FatalError `embedded_database_failed` when there is no user at all to run it as
 */
export async function findServerAccount(logger: Logger): Promise<ServerAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const account = (await lookUp(USER_NAME)) ?? (await createUser(logger)) ?? (await lookUp("nobody"));
  if (account !== undefined) return account;
  throw new FatalError(
    "embedded_database_failed",
    "The embedded PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as. " +
      "Start depositd as an ordinary user, or name a database in database.url.",
  );
}

async function createUser(logger: Logger): Promise<ServerAccount | undefined> {
  for (const [command, ...args] of CREATE_COMMANDS) {
    const result = await runProgram(command, args, undefined);
    if (result.exitCode !== 0) continue;
    logger.info("Created a user for the embedded PostgreSQL, which does not run as root", {
      user: USER_NAME,
    });
    return lookUp(USER_NAME);
  }
  return undefined;
}

/** Asks `id`, which also knows users that are not in /etc/passwd. */
async function lookUp(name: string): Promise<ServerAccount | undefined> {
  const [uid, gid] = await Promise.all([
    runProgram("id", ["-u", name], undefined),
    runProgram("id", ["-g", name], undefined),
  ]);
  if (uid.exitCode !== 0 || gid.exitCode !== 0) return undefined;
  return { uid: Number(uid.output), gid: Number(gid.output) };
}
