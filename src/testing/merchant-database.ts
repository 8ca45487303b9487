/** A database with a merchant in it. */
import { registerAddress } from "../merchants/address-store.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { addressOf, MERCHANT_ID } from "./factory.ts";

/** @param users each has the address that is always theirs, `addressOf(user)` */
export async function createMerchantDatabase(...users: readonly string[]): Promise<TestDatabase> {
  const test = await createTestDatabase();
  await test.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test')", [MERCHANT_ID]);
  for (const userId of users)
    await registerAddress(test.database, { address: addressOf(userId), merchantId: MERCHANT_ID, userId });
  return test;
}
