/** `merchant create`, `key create`, `key revoke`. A key is shown here and never again. */
import { endKey, issueKey, type Keeping, openMerchant } from "../../flow/keep-merchants.ts";
import { parseExtendedKey } from "../../merchants/extended-key.ts";
import { systemRandom } from "../../runtime/random.ts";
import { actingAs } from "../acting.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";
import { alignColumns } from "../table.ts";
import { withDatabase } from "../with-database.ts";

const COMPARE_THEM =
  "Compare its first addresses with your wallet's before any money goes there: depositd merchant xpub <merchant>";
const KEEP_IT = "Keep the key now: it is not shown again.";

/** @throws {InputError} `name_taken`, and with an `xpub` `invalid_extended_key`, `private_key_given`, `extended_key_taken` */
export async function createMerchantCommand(
  options: GlobalOptions,
  {
    xpub,
    ...wanted
  }: { readonly name: string; readonly operator: boolean; readonly xpub?: string | undefined },
): Promise<CommandResult> {
  const key = xpub === undefined ? undefined : parseExtendedKey(xpub);
  const { merchant, apiKey } = await keeping(options, (parts) => openMerchant(parts, { ...wanted, key }));
  return {
    exitCode: EXIT.done,
    json: { merchantId: merchant.id, apiKey: apiKey.key },
    text: `${alignColumns([
      ["merchant", merchant.id],
      ["name", merchant.name],
      ["API key", apiKey.key],
    ])}\n${KEEP_IT}${key === undefined ? "" : `\n${COMPARE_THEM}`}`,
  };
}

/**
 * @param wanted.merchant an id or a name
 * @param wanted.name the operator's, of an operator's key
 * @throws {InputError} `not_found`, `invalid_request`
 */
export async function createKeyCommand(
  options: GlobalOptions,
  wanted: { readonly merchant: string; readonly operator: boolean; readonly name?: string },
): Promise<CommandResult> {
  const { name: operatorName = null, ...rest } = wanted;
  const { merchant, apiKey } = await keeping(options, (parts) => issueKey(parts, { ...rest, operatorName }));
  const operator = operatorName === null ? {} : { operator: operatorName };
  return {
    exitCode: EXIT.done,
    json: { keyId: apiKey.id, merchantId: merchant.id, apiKey: apiKey.key, ...operator },
    text: `${alignColumns([
      ["merchant", merchant.id],
      ...Object.entries(operator),
      ["key id", apiKey.id],
      ["API key", apiKey.key],
    ])}\n${KEEP_IT}`,
  };
}

/** @throws {InputError} `not_found` */
export async function revokeKeyCommand(options: GlobalOptions, id: string): Promise<CommandResult> {
  const revoked = await keeping(options, (parts) => endKey(parts, id));
  return {
    exitCode: EXIT.done,
    json: { keyId: revoked.id, merchantId: revoked.merchantId, revoked: true },
    text: `The key ${revoked.id} of ${revoked.merchantId} opens nothing any more.`,
  };
}

async function keeping<Result>(
  options: GlobalOptions,
  work: (parts: Keeping) => Promise<Result>,
): Promise<Result> {
  const setup = await setUp(options);
  return withDatabase(setup, async (database) =>
    work({ database, random: systemRandom, actor: await actingAs(setup, database) }),
  );
}
