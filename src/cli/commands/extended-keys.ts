/** `merchant xpub`: shows, sets or removes the extended public key that a merchant's addresses are derived from. */
import { InputError } from "../../core/errors.ts";
import { checksumAddress } from "../../core/hex.ts";
import { giveExtendedKey, takeExtendedKeyAway, withFreeIndex } from "../../flow/keep-extended-keys.ts";
import {
  createDerivation,
  type ExtendedKey,
  parseExtendedKey,
  pathBelow,
  refusePrivateKey,
} from "../../merchants/extended-key.ts";
import { findExtendedKey } from "../../merchants/extended-key-store.ts";
import { getMerchant, type Merchant } from "../../merchants/merchant-store.ts";
import { actingAs } from "../acting.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { parseNumber } from "../parse-number.ts";
import { setUp } from "../setup.ts";
import { alignColumns } from "../table.ts";
import { withDatabase } from "../with-database.ts";

export interface ExtendedKeyArguments {
  /** An id or a name. */
  readonly merchant: string;
  /** Left out: the one there is. */
  readonly key?: string | undefined;
  readonly from: string;
  readonly count: string;
  readonly dryRun: boolean;
  readonly remove: boolean;
}

/** @throws {InputError} `invalid_request`, `invalid_extended_key`, `private_key_given`, `not_found`, `extended_key_taken` */
export async function extendedKeyCommand(
  options: GlobalOptions,
  given: ExtendedKeyArguments,
): Promise<CommandResult> {
  // In the merchant's place it would be quoted: there is no merchant of that name.
  refusePrivateKey(given.merchant);
  const key = given.key === undefined ? undefined : parseExtendedKey(given.key);
  const fromIndex = parseNumber(given.from, "--from");
  const count = readCount(given.count);
  if (given.remove && key !== undefined)
    throw new InputError("invalid_request", "--remove is of the key there is: leave out the other");
  const setup = await setUp(options);
  return withDatabase(setup, async (database) => {
    const merchant = await getMerchant(database, given.merchant);
    const keeping = async () => ({ database, actor: await actingAs(setup, database) });
    if (given.remove) return removed(merchant, await takeExtendedKeyAway(await keeping(), merchant.id));
    if (key === undefined) return shown(merchant, await findExtendedKey(database, merchant.id), count);
    if (given.dryRun) {
      const free = await withFreeIndex(database, { key, fromIndex });
      return shown(
        merchant,
        { ...key, nextIndex: free.fromIndex },
        count,
        "This was a dry run: nothing was set.",
      );
    }
    const kept = await giveExtendedKey(await keeping(), { merchant: merchant.id, key, fromIndex });
    return shown(merchant, kept, count);
  });
}

/** A derivation takes a millisecond. */
const MOST_SHOWN = 100_000;

function readCount(text: string): number {
  const count = parseNumber(text, "--count");
  if (count <= MOST_SHOWN) return count;
  throw new InputError("invalid_request", `--count must be ${MOST_SHOWN} at most`);
}

type ShownKey = ExtendedKey & { readonly nextIndex: number };

function shown(
  merchant: Merchant,
  key: ShownKey | undefined,
  count: number,
  note = "Compare them with your wallet's before any money goes there.",
): CommandResult {
  if (key === undefined) return noKey(merchant, `${merchant.name} has no extended public key.`);
  const addresses = firstAddresses(key, count);
  const rows = addresses.map(({ index, path, address }) => [String(index), path, address]);
  return {
    exitCode: EXIT.done,
    json: { merchantId: merchant.id, ...keyJson(key), addresses },
    text: [
      alignColumns([
        ["merchant", merchant.id],
        ["name", merchant.name],
        ["xpub", key.text],
        ["fingerprint", key.fingerprint],
        ["next index", String(key.nextIndex)],
      ]),
      "",
      alignColumns([["INDEX", "PATH", "ADDRESS"], ...rows]),
      note,
    ].join("\n"),
  };
}

function removed(merchant: Merchant, key: ShownKey | undefined): CommandResult {
  const text =
    key === undefined
      ? `${merchant.name} had no extended public key.`
      : `Nothing more is derived from ${key.fingerprint} for ${merchant.name}. What was derived stays watched.`;
  return noKey(merchant, text);
}

function noKey(merchant: Merchant, text: string): CommandResult {
  const json = { merchantId: merchant.id, xpub: null, fingerprint: null, nextIndex: null, addresses: [] };
  return { exitCode: EXIT.done, json, text };
}

function keyJson({ text, fingerprint, nextIndex }: ShownKey) {
  return { xpub: text, fingerprint, nextIndex };
}

function firstAddresses(key: ShownKey, count: number) {
  const { addressAt } = createDerivation(key.branch);
  return Array.from({ length: count }, (_, index) => {
    const address = addressAt(index);
    return { index, path: pathBelow(key, index), address: address === null ? "-" : checksumAddress(address) };
  });
}
