/**
 * An endpoint's secret: 32 random bytes that only the merchant and we know. People see it once, as
 * `whsec_` and base64 (Standard Webhooks 1.0, "Signature scheme"); the database holds the bytes, sealed.
 */
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";

/** The specification allows 24 to 64 bytes; 32 is what HMAC-SHA256 can use in full. */
const SECRET_BYTES = 32;

export function createEndpointSecret(random: Random): Buffer {
  return random.bytes(SECRET_BYTES);
}

export function formatEndpointSecret(secret: Buffer): string {
  return `whsec_${secret.toString("base64")}`;
}

/** As many endpoints as are busy at once; beyond it the cache begins anew. */
const MAX_OPENED = 1_000;

/**
 * Opens sealed secrets and remembers them: opening one costs as much as signing with it.
 *
 * @returns throws `FatalError` `secret_key_wrong` like the box itself
 */
export function createSecretOpener(secretBox: SecretBox): (sealed: Buffer) => Buffer {
  const opened = new Map<string, Buffer>();
  return (sealed) => {
    const key = sealed.toString("latin1");
    const known = opened.get(key);
    if (known !== undefined) return known;
    const secret = secretBox.open(sealed);
    if (opened.size >= MAX_OPENED) opened.clear();
    opened.set(key, secret);
    return secret;
  };
}
