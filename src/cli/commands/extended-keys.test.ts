import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checksumAddress } from "../../core/hex.ts";
import { parseExtendedKey } from "../../merchants/extended-key.ts";
import { takeNextAddress } from "../../merchants/extended-key-store.ts";
import { getMerchant } from "../../merchants/merchant-store.ts";
import { createProgramRig, type ProgramRig } from "../../testing/depositd.ts";
import { walletAddress, walletKey } from "../../testing/wallet.ts";

let rig: ProgramRig;
let config: readonly string[];
beforeAll(async () => {
  rig = await createProgramRig();
  config = ["--config", await rig.configFile("xpub.yaml")];
});
afterAll(() => rig.drop());

const accountKey = (account: number) => walletKey(`m/44'/60'/${account}'`).public;
const run = (...args: readonly string[]) => rig.depositd([...args, ...config]);
const runJson = async (...args: readonly string[]) => {
  const ended = await run(...args, "--json");
  expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
  return JSON.parse(ended.stdout) as { merchantId: string };
};
const shownAddresses = (account: number, count = 3) =>
  Array.from({ length: count }, (_, index) => ({
    index,
    path: `0/${index}`,
    address: checksumAddress(walletAddress(index, account)),
  }));

describe("merchant xpub", () => {
  test("shows what a key gives, sets it, shows it again, and removes it", async () => {
    const { merchantId } = await runJson("merchant", "create", "shop");
    const none = { merchantId, xpub: null, fingerprint: null, nextIndex: null, addresses: [] };
    const key = accountKey(0);
    const { fingerprint } = parseExtendedKey(key);
    const set = { merchantId, xpub: key, fingerprint, nextIndex: 0, addresses: shownAddresses(0) };
    expect(await runJson("merchant", "xpub", "shop")).toEqual(none);
    expect(await runJson("merchant", "xpub", "shop", key, "--dry-run")).toEqual(set);
    expect(await runJson("merchant", "xpub", "shop")).toEqual(none);
    expect(await runJson("merchant", "xpub", "shop", key)).toEqual(set);
    const shown = await run("merchant", "xpub", merchantId, "--count", "1");
    expect(shown.stdout).toBe(
      [
        `merchant     ${merchantId}`,
        "name         shop",
        `xpub         ${key}`,
        `fingerprint  ${fingerprint}`,
        "next index   0",
        "",
        "INDEX  PATH  ADDRESS",
        "0      0/0   0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "Compare them with your wallet's before any money goes there.",
        "",
      ].join("\n"),
    );
    expect(await runJson("merchant", "xpub", "shop", "--remove")).toEqual(none);
    expect((await run("merchant", "xpub", "shop")).stdout).toBe("shop has no extended public key.\n");
    const log = await rig.db.database.query(
      "SELECT action, detail FROM audit_log WHERE subject = $1 AND action LIKE 'xpub.%' ORDER BY sequence",
      [merchantId],
    );
    const detail = JSON.stringify({ fingerprint, nextIndex: 0 });
    expect(log).toEqual([
      { action: "xpub.set", detail },
      { action: "xpub.remove", detail },
    ]);
  });

  test("begins after the addresses that are registered already, or at a later index", async () => {
    const { merchantId } = await runJson("merchant", "create", "mover");
    await rig.db.database.query(
      "INSERT INTO watched_addresses (address, merchant_id, user_id) SELECT unnest($2::bytea[]), $1, 'past'",
      [
        merchantId,
        Array.from({ length: 130 }, (_, index) => Buffer.from(walletAddress(index, 1).slice(2), "hex")),
      ],
    );
    expect(await runJson("merchant", "xpub", "mover", accountKey(1))).toMatchObject({ nextIndex: 130 });
    const later = await runJson("merchant", "xpub", "mover", accountKey(1), "--from", "200");
    expect(later).toMatchObject({ nextIndex: 200 });
    const wanted = { merchantId, userId: "alice", orderNo: null };
    const taken = await rig.db.database.transaction((tx) => takeNextAddress(tx, wanted));
    expect(taken.address).toBe(walletAddress(200, 1));
  });

  test("refuses another merchant's key, and leaves the merchant the one it has", async () => {
    await runJson("merchant", "create", "first", "--xpub", accountKey(2));
    await runJson("merchant", "create", "second", "--xpub", accountKey(3));
    const same = walletKey("m/44'/60'/2'/0").public;
    const refused = await run("merchant", "xpub", "second", same);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain("[extended_key_taken]");
    expect(await runJson("merchant", "xpub", "second")).toMatchObject({ addresses: shownAddresses(3) });
    const third = await run("merchant", "create", "third", "--xpub", same);
    expect(third).toMatchObject({ exitCode: 1, stdout: "" });
    await expect(getMerchant(rig.db.database, "third")).rejects.toMatchObject({ code: "not_found" });
  });

  test("tells nothing of a private key that was given by mistake, in whichever place", async () => {
    const secret = walletKey().private;
    for (const args of [
      ["merchant", "xpub", "shop", secret, "--log-level", "debug"],
      ["merchant", "xpub", secret, "--log-level", "debug"],
      ["merchant", "create", "careless", "--xpub", secret, "--log-level", "debug", "--json"],
    ]) {
      const refused = await run(...args);
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stderr).toContain("private_key_given");
      expect(refused.stdout + refused.stderr).not.toContain(secret.slice(4, 20));
    }
  });

  test.each([
    ["--count", "many", "--count must be a number"],
    ["--count", "100001", "--count must be 100000 at most"],
    ["--from", "-1", "--from must be a number"],
  ])("refuses %s %s", async (option, value, expected) => {
    const refused = await run("merchant", "xpub", "shop", `${option}=${value}`);
    expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
    expect(refused.stderr).toContain(expected);
  });
});
