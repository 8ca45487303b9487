import { HDKey } from "@scure/bip32";
import { describe, expect, test } from "vitest";
import { InputError } from "../core/errors.ts";
import { TEST_MNEMONIC, walletAddress, walletKey } from "../testing/wallet.ts";
import { addressOfChild, createDerivation, parseExtendedKey, pathBelow } from "./extended-key.ts";

/** BIP-32, test vector 1. */
const VECTOR = {
  master: {
    public:
      "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8",
    private:
      "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
  },
  /** m/0'/1/2'/2, of depth 4, and its child 1000000000. */
  parent:
    "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
  child:
    "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
} as const;

const bytesOf = (key: HDKey) => Buffer.concat([key.chainCode ?? [], key.publicKey ?? []] as Uint8Array[]);
const refusalOf = (text: string): InputError => {
  try {
    parseExtendedKey(text);
  } catch (rawError) {
    if (rawError instanceof InputError) return rawError;
    throw rawError;
  }
  throw new Error("It was taken");
};

describe("an extended public key", () => {
  test("gives the addresses that a wallet shows, from an account's key and from its external chain's", () => {
    const account = parseExtendedKey(walletKey("m/44'/60'/0'").public);
    const chain = parseExtendedKey(walletKey("m/44'/60'/0'/0").public);
    const { addressAt } = createDerivation(account.branch);
    expect(addressAt(0)).toBe("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    const indexes = [0, 1, 2, 9, 1_000, 2 ** 31 - 1];
    expect(indexes.map(addressAt)).toEqual(indexes.map((index) => walletAddress(index)));
    expect(indexes.map(createDerivation(chain.branch).addressAt)).toEqual(indexes.map(addressAt));
    expect([pathBelow(account, 7), pathBelow(chain, 7)]).toEqual(["0/7", "7"]);
    expect(account.fingerprint).not.toBe(chain.fingerprint);
    expect(Buffer.compare(account.branch, chain.branch)).toBe(0);
  });

  test("gives the children of BIP-32's test vector", () => {
    const branch = bytesOf(HDKey.fromExtendedKey(VECTOR.parent));
    const { publicKey } = HDKey.fromExtendedKey(VECTOR.child);
    const expected = addressOfChild({ deriveChild: () => ({ index: 0, publicKey }) as HDKey }, 0);
    expect(createDerivation(branch).addressAt(1_000_000_000)).toBe(expected);
  });

  test("has a fingerprint that says which it is: the parent's in its child's text", () => {
    const account = parseExtendedKey(` ${walletKey("m/44'/60'/0'").public}\n`);
    const { parentFingerprint } = HDKey.fromExtendedKey(walletKey("m/44'/60'/0'/0").public);
    expect(Number.parseInt(account.fingerprint, 16)).toBe(parentFingerprint);
    expect(account.fingerprint).toMatch(/^[0-9a-f]{8}$/);
  });

  test("has no address at an index for which there is no key, where the library answers the next one", () => {
    const deriveChild = (index: number) => ({ index: index === 5 ? 6 : index }) as HDKey;
    expect(addressOfChild({ deriveChild }, 5)).toBeNull();
  });

  test.each([
    ["an account's private key", walletKey().private],
    ["a private key with a wrong letter", `${walletKey().private.slice(0, -1)}1`],
    ["half of a private key", walletKey().private.slice(0, 40)],
    ["a private key of a test network", walletKey().private.replace("xprv", "tprv")],
    ["a private key in upper case", walletKey().private.toUpperCase()],
    ["a private key behind its origin", `[3bf95407/44'/60'/0']${walletKey().private}`],
    ["a bare private key", "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"],
    ["a recovery phrase", TEST_MNEMONIC],
  ])("is refused as %s, and nothing of it is told", (_what, text) => {
    const refused = refusalOf(text);
    expect([refused.code, refused.facts, refused.cause]).toEqual(["private_key_given", {}, undefined]);
    const told = `${refused.message} ${refused.stack}`;
    expect(told).toContain("never give one to anybody");
    expect(told).not.toContain(text.slice(4, 20));
  });

  const account = walletKey().public;
  const swapped = account.replace(/(.)(.)$/, "$2$1");
  test.each([
    ["a letter in another's place", swapped, "checksum"],
    ["its last letter missing", account.slice(0, -1), "checksum"],
    ["what is no letter of Base58", account.replace(/.$/, "0"), "checksum"],
    ["nothing", "", "begin with xpub"],
    ["an address", walletAddress(0), "begin with xpub"],
    ["a test network's beginning", account.replace("xpub", "tpub"), "begin with xpub"],
    ["the depth of a master key", VECTOR.master.public, "depth 0"],
    ["the depth of a coin", walletKey("m/44'/60'").public, "depth 2"],
    ["the depth of an address", walletKey("m/44'/60'/0'/0/0").public, "depth 5"],
    ["another chain of the account", walletKey("m/44'/60'/0'/1").public, "child 1;"],
    ["a hardened chain of the account", walletKey("m/44'/60'/0'/0'").public, "child 0';"],
  ])("is refused with %s", (_what, text, why) => {
    const refused = refusalOf(text);
    expect([refused.code, refused.facts, refused.cause]).toEqual(["invalid_extended_key", {}, undefined]);
    expect(refused.message).toContain(why);
  });

  test("is refused when its text is right and its public key is no point of the curve", () => {
    // BIP-32, test vector 5: the x of 0 is on no point.
    const text =
      "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6Q5JXayek4PRsn35jii4veMimro1xefsM58PgBMrvdYre8QyULY";
    expect(refusalOf(text)).toMatchObject({ code: "invalid_extended_key" });
  });
});
