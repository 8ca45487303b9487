/** `secrets reseal`: endpoint secrets under the present key, so that an old one may be forgotten. */
import { resealSecrets } from "../../delivery/endpoint-secret-store.ts";
import { loadSecretKey, readOldSecretKeys } from "../../runtime/config/secret-key.ts";
import { systemRandom } from "../../runtime/random.ts";
import { createSecretBox } from "../../runtime/secret-box.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";
import { withDatabase } from "../with-database.ts";

/** @param onProgress for a terminal @throws {FatalError} `secret_key_wrong` */
export async function resealCommand(
  options: GlobalOptions,
  onProgress: (done: number, total: number) => void,
): Promise<CommandResult> {
  const setup = await setUp(options);
  const key = await loadSecretKey(setup.config, setup.env, systemRandom);
  const box = createSecretBox(key, systemRandom, readOldSecretKeys(setup.env));
  const count = await withDatabase(setup, (database) => resealSecrets(database, box, onProgress));
  return {
    exitCode: EXIT.done,
    json: { endpoints: count },
    text: `Secrets of ${count} endpoints were sealed again; all are under the present key now.`,
  };
}
