import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { createMerchantDatabase } from "../testing/merchant-database.ts";
import { waitFor } from "../testing/wait-for.ts";
import { walletAddress, walletKey } from "../testing/wallet.ts";
import { findAddress, registerAddress } from "./address-store.ts";
import { parseExtendedKey } from "./extended-key.ts";
import {
  findExtendedKey,
  findFreeIndex,
  removeExtendedKey,
  setExtendedKey,
  takeNextAddress,
} from "./extended-key-store.ts";

const OTHER = "mer_other";
const ACCOUNT = parseExtendedKey(walletKey("m/44'/60'/0'").public);
const SAME_BRANCH = parseExtendedKey(walletKey("m/44'/60'/0'/0").public);
const SECOND_ACCOUNT = parseExtendedKey(walletKey("m/44'/60'/1'").public);

let db: TestDatabase;
beforeEach(async () => {
  db = await createMerchantDatabase();
  await db.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Other')", [OTHER]);
});
afterEach(() => db.drop());

const set = (key = ACCOUNT, fromIndex = 0, merchantId = MERCHANT_ID) =>
  db.database.transaction((tx) => setExtendedKey(tx, merchantId, key, fromIndex));
const take = (userId: string, orderNo: string | null = null, merchantId = MERCHANT_ID) =>
  db.database.transaction((tx) => takeNextAddress(tx, { merchantId, userId, orderNo }));
const indexes = (taken: readonly { derivation: { index: number } | null }[]) =>
  taken.map(({ derivation }) => derivation?.index ?? -1).sort((a, b) => a - b);
const waitingForLocks = () =>
  db.database.query(
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
  );
/** Eight of them are in the middle of it together, which leaves one connection to see that with. */
const atOnce = async (userIds: readonly string[]) => {
  const { first } = await db.database.transaction(async (tx) => {
    await tx.query("SELECT FROM extended_keys FOR UPDATE");
    const begun = userIds.slice(0, 8).map((userId) => take(userId));
    await waitFor(async () => (await waitingForLocks()).length === 8);
    return { first: begun };
  });
  return Promise.all([...first, ...userIds.slice(8).map((userId) => take(userId))]);
};
const count = (to: number) => Array.from({ length: to }, (_, n) => n);

describe("the next address of a merchant's extended public key", () => {
  test("is the one that the wallet shows next, and says where it came from", async () => {
    await set();
    const first = await take("alice");
    expect(first).toMatchObject({
      address: walletAddress(0),
      merchantId: MERCHANT_ID,
      userId: "alice",
      orderNo: null,
      isNew: true,
      derivation: { keyFingerprint: ACCOUNT.fingerprint, path: "0/0", index: 0 },
    });
    expect(await take("bob")).toMatchObject({ address: walletAddress(1), derivation: { path: "0/1" } });
    const { isNew: _, ...found } = first;
    expect(await findAddress(db.database, MERCHANT_ID, first.address)).toEqual(found);
    expect(await findExtendedKey(db.database, MERCHANT_ID)).toMatchObject({
      nextIndex: 2,
      text: ACCOUNT.text,
    });
  });

  test("is the user's own one time and again, and another one for each order", async () => {
    await set();
    const own = await take("alice");
    const order = await take("alice", "A-1");
    expect(order).toMatchObject({ isNew: true, orderNo: "A-1", derivation: { index: 1 } });
    expect(await take("alice")).toEqual({ ...own, isNew: false });
    expect(await take("alice", "A-2")).toMatchObject({ derivation: { index: 2 } });
    expect(await findAddress(db.database, MERCHANT_ID, order.address)).toMatchObject({ orderNo: "A-1" });
  });

  test("is one for each of twenty users that ask at once, without a gap", async () => {
    await set();
    const taken = await atOnce(count(20).map((n) => `user ${n}`));
    expect(indexes(taken)).toEqual(count(20));
    expect(new Set(taken.map(({ address }) => address)).size).toBe(20);
  });

  test("is one and the same for one user that asks twenty times at once", async () => {
    await set();
    const taken = await atOnce(count(20).map(() => "alice"));
    expect(new Set(taken.map(({ address }) => address))).toEqual(new Set([walletAddress(0)]));
    expect(taken.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(await findExtendedKey(db.database, MERCHANT_ID)).toMatchObject({ nextIndex: 1 });
  });

  test("is passed over when somebody registered it before, whoever it was", async () => {
    await set();
    const registered = { address: walletAddress(1), merchantId: OTHER, userId: "mallory" };
    await registerAddress(db.database, {
      address: walletAddress(0),
      merchantId: MERCHANT_ID,
      userId: "alice",
    });
    await registerAddress(db.database, registered);
    expect(await findFreeIndex(db.database, ACCOUNT.branch, 0)).toBe(2);
    expect(await take("alice")).toMatchObject({ address: walletAddress(2), isNew: true });
    expect(await findAddress(db.database, OTHER, registered.address)).toMatchObject({ userId: "mallory" });
  });

  test("is not used up by a transaction that is rolled back", async () => {
    await set();
    const failed = db.database.transaction(async (tx) => {
      await takeNextAddress(tx, { merchantId: MERCHANT_ID, userId: "alice", orderNo: null });
      throw new Error("The order was refused");
    });
    await expect(failed).rejects.toThrow("The order was refused");
    expect(await take("bob")).toMatchObject({ address: walletAddress(0) });
  });

  test("is not to be had without a key, nor once it is removed; what was derived stays watched", async () => {
    await expect(take("alice")).rejects.toMatchObject({ code: "address_required" });
    await set();
    const { address } = await take("alice");
    const removed = await db.database.transaction((tx) => removeExtendedKey(tx, MERCHANT_ID));
    expect(removed).toMatchObject({ text: ACCOUNT.text, nextIndex: 1 });
    await expect(take("alice")).rejects.toMatchObject({ code: "address_required" });
    expect(await findExtendedKey(db.database, MERCHANT_ID)).toBeUndefined();
    expect(await findAddress(db.database, MERCHANT_ID, address)).toMatchObject({ userId: "alice" });
  });
});

describe("a merchant's extended public key", () => {
  test("goes on where it was when it is taken up again, with each user's own address of it", async () => {
    await set();
    const first = await take("alice");
    await set(SECOND_ACCOUNT);
    expect(await take("alice")).toMatchObject({ address: walletAddress(0, 1), isNew: true });
    await set();
    expect(await take("bob")).toMatchObject({ address: walletAddress(1) });
    expect(await take("alice")).toMatchObject({ address: first.address, isNew: false });
  });

  test("may begin at a later index, and never goes back to an earlier one", async () => {
    expect(await set(ACCOUNT, 5)).toMatchObject({ nextIndex: 5 });
    expect(await set(ACCOUNT, 2)).toMatchObject({ nextIndex: 5 });
    expect(await findFreeIndex(db.database, ACCOUNT.branch, 0)).toBe(5);
    expect(await take("alice")).toMatchObject({ address: walletAddress(5) });
  });

  test("is not another merchant's, in whichever text, current or not", async () => {
    await set();
    await set(SECOND_ACCOUNT);
    for (const key of [ACCOUNT, SAME_BRANCH, SECOND_ACCOUNT])
      await expect(set(key, 0, OTHER)).rejects.toMatchObject({ code: "extended_key_taken" });
    await expect(take("alice", null, OTHER)).rejects.toMatchObject({ code: "address_required" });
    expect(await take("alice")).toMatchObject({ address: walletAddress(0, 1) });
  });

  test("is there for whoever asks while it is changed", async () => {
    await set();
    const { taken } = await db.database.transaction(async (tx) => {
      await setExtendedKey(tx, MERCHANT_ID, SECOND_ACCOUNT, 0);
      const asked = take("alice");
      await waitFor(async () => (await waitingForLocks()).length > 0);
      return { taken: asked };
    });
    expect(await taken).toMatchObject({ address: walletAddress(0, 1) });
  });

  test("is one, of two that are set at once", async () => {
    const { second } = await db.database.transaction(async (tx) => {
      await setExtendedKey(tx, MERCHANT_ID, ACCOUNT, 0);
      const begun = set(SECOND_ACCOUNT);
      await waitFor(async () => (await waitingForLocks()).length > 0);
      return { second: begun };
    });
    expect(await second).toMatchObject({ text: SECOND_ACCOUNT.text });
    expect(await findExtendedKey(db.database, MERCHANT_ID)).toMatchObject({ text: SECOND_ACCOUNT.text });
  });
});
