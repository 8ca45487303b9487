/** `address import`: registers the addresses of a file, up to millions of them. May be run again to go on. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { coerceError, InputError } from "../../core/errors.ts";
import { type ImportFault, importAddresses } from "../../flow/import-addresses.ts";
import { getMerchant } from "../../merchants/merchant-store.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";
import { withDatabase } from "../with-database.ts";

/** More of them say nothing new; the count says how many there were. */
const FAULTS_SHOWN = 100;

/**
 * @param given.file CSV (`address,userId`) or NDJSON
 * @param given.merchant an id or a name
 * @param onProgress bytes of the file, for a terminal
 * @throws {InputError} `invalid_request` when the file cannot be read, `not_found` when there is no such merchant
 */
export async function importAddressesCommand(
  options: GlobalOptions,
  given: { readonly file: string; readonly merchant: string },
  onProgress: (done: number, total: number) => void,
): Promise<CommandResult> {
  const total = await sizeOf(given.file);
  const faults: ImportFault[] = [];
  const imported = await withDatabase(await setUp(options), async (database) => {
    const merchant = await getMerchant(database, given.merchant);
    return importAddresses(database, merchant.id, createReadStream(given.file), {
      onFault: (fault) => {
        if (faults.length < FAULTS_SHOWN) faults.push(fault);
      },
      onProgress: (bytes) => onProgress(bytes, total),
    });
  });
  const { newCount, knownCount, faultCount } = imported;
  const hidden = faultCount - faults.length;
  return {
    exitCode: faultCount === 0 ? EXIT.done : EXIT.failed,
    json: { ...imported, faults },
    text: [
      `${newCount} addresses registered, ${knownCount} were before, ${faultCount} lines could not be taken.`,
      ...faults.map(({ line, code, message }) => `line ${line}: ${message} [${code}]`),
      ...(hidden > 0 ? [`and ${hidden} more`] : []),
    ].join("\n"),
  };
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (rawError) {
    throw new InputError("invalid_request", `Cannot read ${file}: ${coerceError(rawError).message}`, {
      file,
    });
  }
}
