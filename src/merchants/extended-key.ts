/**
 * BIP-32 extended public keys (`xpub…`): whoever holds one can derive the addresses of a wallet, one after the other,
 * and cannot spend from any. Which addresses a wallet shows is BIP-44's to say: `m/44'/60'/0'/0/<i>`.
 *
 * Only public keys are taken. A text that may be a private one never appears in an error, so none ever quotes the key.
 */
import { ECDH } from "node:crypto";
import { HDKey } from "@scure/bip32";
import { InputError } from "../core/errors.ts";
import { type Address, bytesToHex } from "../core/hex.ts";
import { keccak256 } from "../core/keccak.ts";

export interface ExtendedKey {
  readonly text: string;
  /** BIP-32's: the first 4 bytes of the key's HASH160, 8 hexadecimal digits. It names the key and tells nothing of it. */
  readonly fingerprint: string;
  /** What stands before an index in the path below the key: `0/` or nothing. */
  readonly pathPrefix: string;
  readonly branch: Branch;
}

/**
 * The chain code (32 bytes) and the public key (33) that addresses are children of: all that they follow from. An
 * account's key and its external chain's are two texts of one branch; so are texts that only say other things of a key.
 */
export type Branch = Uint8Array;

/** m/44'/60'/0': BIP-44's account, with its addresses at `0/<i>` below it. */
const ACCOUNT_DEPTH = 3;
/** m/44'/60'/0'/0: its external chain, with the addresses right below it. */
const CHAIN_DEPTH = 4;
const EXTERNAL_CHAIN = 0;

/**
 * `xprv`, its kin of SLIP-132 and of test networks, also behind `[its origin]`; a bare private key; a recovery phrase,
 * which has twelve words or more.
 */
const PRIVATE = [/^(\[[^\]]*\])?[a-z]prv/i, /^(0x)?[0-9a-f]{64}$/i, /^(\p{L}+\s+){11}/u];

/**
 * Reads an extended public key: mainnet's `xpub`, of an account or of its external chain.
 *
 * @throws {InputError} `private_key_given`, or `invalid_extended_key` with what is wrong; neither quotes the text
 */
export function parseExtendedKey(given: string): ExtendedKey {
  const text = given.trim();
  refusePrivateKey(text);
  if (!text.startsWith("xpub")) {
    throw invalid("It must begin with xpub: other beginnings are of test networks, or of other coins");
  }
  const key = decode(text);
  if (key.privateKey !== null) throw privateKeyGiven();
  const { depth, index } = key;
  if (depth !== ACCOUNT_DEPTH && depth !== CHAIN_DEPTH) {
    throw invalid(
      `It is of depth ${depth}: give an account's, as m/44'/60'/0' (depth 3), or its external chain's, as m/44'/60'/0'/0 (depth 4)`,
    );
  }
  if (depth === CHAIN_DEPTH && index !== EXTERNAL_CHAIN)
    throw invalid(`It is of depth 4 and is child ${childName(index)}; the external chain is child 0`);
  const isAccount = depth === ACCOUNT_DEPTH;
  return {
    text,
    fingerprint: key.fingerprint.toString(16).padStart(8, "0"),
    pathPrefix: isAccount ? `${EXTERNAL_CHAIN}/` : "",
    branch: branchOf(isAccount ? key.deriveChild(EXTERNAL_CHAIN) : key),
  };
}

/** Where an address lies below the key: with the account's private key and this a wallet can spend from it. */
export function pathBelow({ pathPrefix }: Pick<ExtendedKey, "pathPrefix">, index: number): string {
  return `${pathPrefix}${index}`;
}

/** Derives the addresses of a branch. Making it takes 0.2 ms, each address 1 ms (measured on two busy cores). */
export function createDerivation(branch: Branch): AddressDerivation {
  const key = new HDKey({ chainCode: branch.subarray(0, 32), publicKey: branch.subarray(32) });
  return { addressAt: (index) => addressOfChild(key, index) };
}

export interface AddressDerivation {
  /**
   * `null` where BIP-32 has no key: one index in 2^127.
   *
   * @param index below 2^31: those above are for private keys
   */
  addressAt(index: number): Address | null;
}

/** The library answers the next child where there is none. @internal exported for its test */
export function addressOfChild(parent: Pick<HDKey, "deriveChild">, index: number): Address | null {
  const child = parent.deriveChild(index);
  return child.index === index && child.publicKey !== null ? addressOf(child.publicKey) : null;
}

/** The last 20 bytes of the hash of the public key's two coordinates (yellow paper, appendix F). */
function addressOf(publicKey: Uint8Array): Address {
  const point = ECDH.convertKey(publicKey, "secp256k1", undefined, undefined, "uncompressed") as Buffer;
  return bytesToHex(keccak256(point.subarray(1)).subarray(12));
}

/** What the library throws is left out: it is for programmers, and nothing of the text may be told. */
function decode(text: string): HDKey {
  try {
    return HDKey.fromExtendedKey(text);
  } catch {
    throw invalid("Its checksum is wrong, or it is of no public key: copy the whole key again");
  }
}

function branchOf({ chainCode, publicKey }: HDKey): Branch {
  if (chainCode === null || publicKey === null) throw invalid("It has no public key");
  return Buffer.concat([chainCode, publicKey]);
}

const HARDENED = 2 ** 31;

function childName(index: number): string {
  return index < HARDENED ? String(index) : `${index - HARDENED}'`;
}

/** Also for what stands where a key might be by mistake. @throws {InputError} `private_key_given` */
export function refusePrivateKey(text: string): void {
  if (PRIVATE.some((form) => form.test(text))) throw privateKeyGiven();
}

function privateKeyGiven(): InputError {
  return new InputError(
    "private_key_given",
    "This looks like a private key or a recovery phrase: never give one to anybody, nor to depositd. Give the extended public key, xpub…",
  );
}

function invalid(why: string): InputError {
  return new InputError(
    "invalid_extended_key",
    `This is no extended public key to derive addresses from. ${why}`,
  );
}
