/** `merchant create`, `key create`, `key revoke`. A key is shown here and never again. */
import { createApiKey, revokeApiKey } from "../../merchants/api-key-store.ts";
import { createMerchant, getMerchant } from "../../merchants/merchant-store.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";
import { alignColumns } from "../table.ts";
import { withDatabase } from "../with-database.ts";

const KEEP_IT = "Keep the key now: it is not shown again.";

/** @throws {InputError} `name_taken` */
export async function createMerchantCommand(
  options: GlobalOptions,
  wanted: { readonly name: string; readonly operator: boolean },
): Promise<CommandResult> {
  const { merchant, apiKey } = await withDatabase(await setUp(options), (database) =>
    createMerchant(database, systemRandom, wanted),
  );
  return {
    exitCode: EXIT.done,
    json: { merchantId: merchant.id, apiKey: apiKey.key },
    text: `${alignColumns([
      ["merchant", merchant.id],
      ["name", merchant.name],
      ["API key", apiKey.key],
    ])}\n${KEEP_IT}`,
  };
}

/** @param wanted.merchant an id or a name @throws {InputError} `not_found` */
export async function createKeyCommand(
  options: GlobalOptions,
  wanted: { readonly merchant: string; readonly operator: boolean },
): Promise<CommandResult> {
  const { operator } = wanted;
  const { merchant, apiKey } = await withDatabase(await setUp(options), async (database) => {
    const found = await getMerchant(database, wanted.merchant);
    return {
      merchant: found,
      apiKey: await createApiKey(database, systemRandom, { merchantId: found.id, operator }),
    };
  });
  return {
    exitCode: EXIT.done,
    json: { keyId: apiKey.id, merchantId: merchant.id, apiKey: apiKey.key },
    text: `${alignColumns([
      ["merchant", merchant.id],
      ["key id", apiKey.id],
      ["API key", apiKey.key],
    ])}\n${KEEP_IT}`,
  };
}

/** @throws {InputError} `not_found` */
export async function revokeKeyCommand(options: GlobalOptions, id: string): Promise<CommandResult> {
  const revoked = await withDatabase(await setUp(options), (database) => revokeApiKey(database, id));
  return {
    exitCode: EXIT.done,
    json: { keyId: revoked.id, merchantId: revoked.merchantId, revoked: true },
    text: `The key ${revoked.id} of ${revoked.merchantId} opens nothing any more.`,
  };
}
