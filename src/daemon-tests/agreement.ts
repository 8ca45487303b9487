/** The chain, the ledger and what the merchant was told must say the same. */
import { expect } from "vitest";
import type { Address } from "../core/hex.ts";
import { expectBooksToHold } from "./audit.ts";
import { type ScanOptions, scanChain, totalsOf } from "./chain-scan.ts";
import type { Rig } from "./rig.ts";

/**
 * For when all is unlocked and told: what each user has equals what the chain says came in, every deposit stands
 * once, and every change of every deposit and order was told.
 *
 * @param users address by user id
 */
export async function expectAgreement(
  rig: Rig,
  users: Readonly<Record<string, Address>>,
  options: ScanOptions = {},
): Promise<void> {
  await expectBooksToHold(rig.test.database);
  const scanned = await scanChain(rig.anvil, Object.values(users), [rig.token.address], options);
  expect(await availableOf(rig, users)).toEqual(totalsOf(scanned));

  const standing = await rig.test.database.query<{ count: bigint }>(
    "SELECT count(*) AS count FROM deposits WHERE status = 'unlocked'",
  );
  expect(Number(standing[0]?.count)).toBe(scanned.length);
  expect(await untold(rig)).toEqual([]);
}

async function availableOf(
  rig: Rig,
  users: Readonly<Record<string, Address>>,
): Promise<Record<string, bigint>> {
  const available: Record<string, bigint> = {};
  for (const [userId, address] of Object.entries(users)) {
    const { assets } = await rig.api.balances(userId);
    for (const asset of assets) {
      expect(asset.lockedBaseUnits).toBe("0");
      available[`${address}:${asset.token?.toLowerCase() ?? "native"}`] = BigInt(asset.availableBaseUnits);
    }
  }
  return Object.fromEntries(Object.entries(available).filter(([, amount]) => amount > 0n));
}

/** Changes of deposits and orders that no callback spoke of. */
async function untold(rig: Rig): Promise<string[]> {
  const told = new Set(
    rig.receiver.callbacks().map(({ data, type }) => `${data.id} ${data.sequence} ${type}`),
  );
  const events = await rig.test.database.query<{ subject: string; sequence: number; type: string }>(
    `SELECT coalesce(deposit_id, order_id) AS subject, sequence, type FROM events
     WHERE num_nonnulls(deposit_id, order_id) = 1`,
  );
  return events
    .map((event) => `${event.subject} ${event.sequence} ${event.type}`)
    .filter((event) => !told.has(event));
}
