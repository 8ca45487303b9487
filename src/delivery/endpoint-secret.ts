/**
 * What an endpoint's callbacks are signed with (Standard Webhooks 1.0, "Signature scheme"):
 *
 *   v1    32 random bytes that only the merchant and we know; shown once, as `whsec_` and base64
 *   v1a   an Ed25519 key: the private one never leaves the daemon, the public one is shown as `whpk_` and base64
 *
 * The database holds the secret or the private key's seed sealed, and the public key as it is.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { FatalError } from "../core/errors.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import type { SignatureScheme, SigningKey } from "./signature.ts";

/** The specification allows 24 to 64 bytes; 32 is what HMAC-SHA256 can use in full, and an Ed25519 seed's length. */
const SECRET_BYTES = 32;

export interface NewSecret {
  readonly scheme: SignatureScheme;
  /** To be sealed. */
  readonly bytes: Buffer;
  /** `null` for `v1`. */
  readonly publicKey: Buffer | null;
}

export function createEndpointSecret(random: Random, scheme: SignatureScheme = "v1"): NewSecret {
  const bytes = random.bytes(SECRET_BYTES);
  return { scheme, bytes, publicKey: scheme === "v1" ? null : publicKeyOf(bytes) };
}

/** As the merchant sees it, once; `null` for `v1a`, whose merchant needs the public key alone. */
export function formatEndpointSecret({ scheme, bytes }: Pick<NewSecret, "scheme" | "bytes">): string | null {
  return scheme === "v1" ? `whsec_${bytes.toString("base64")}` : null;
}

export function formatPublicKey(publicKey: Uint8Array): string {
  return `whpk_${Buffer.from(publicKey).toString("base64")}`;
}

/** DER of an Ed25519 private key up to its seed (RFC 8410, section 7). */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

function privateKeyOf(seed: Buffer) {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
}

function publicKeyOf(seed: Buffer): Buffer {
  const { x } = createPublicKey(privateKeyOf(seed)).export({ format: "jwk" });
  if (x === undefined) throw new FatalError("internal", "An Ed25519 key has no public part");
  return Buffer.from(x, "base64url");
}

/** A key as the database holds it. */
export interface SealedKey {
  readonly scheme: SignatureScheme;
  readonly sealed: Buffer;
}

/** As many endpoints as are busy at once; beyond it the cache begins anew. */
const MAX_OPENED = 1_000;

/**
 * Opens sealed keys and remembers them: opening one costs as much as signing with it.
 *
 * @returns throws `FatalError` `secret_key_wrong` like the box itself
 */
export function createKeyOpener(secretBox: Pick<SecretBox, "open">): (key: SealedKey) => SigningKey {
  const opened = new Map<string, SigningKey>();
  return ({ scheme, sealed }) => {
    const name = scheme + sealed.toString("latin1");
    const known = opened.get(name);
    if (known !== undefined) return known;
    const secret = secretBox.open(sealed);
    const key: SigningKey =
      scheme === "v1" ? { scheme, secret } : { scheme, privateKey: privateKeyOf(secret) };
    if (opened.size >= MAX_OPENED) opened.clear();
    opened.set(name, key);
    return key;
  };
}
