/**
 * An endpoint's secret: 32 random bytes that only the merchant and we know. People see it once, as
 * `whsec_` and base64 (Standard Webhooks 1.0, "Signature scheme"); the database holds the bytes, sealed.
 */
import type { Random } from "../runtime/random.ts";

/** The specification allows 24 to 64 bytes; 32 is what HMAC-SHA256 can use in full. */
const SECRET_BYTES = 32;

export function createEndpointSecret(random: Random): Buffer {
  return random.bytes(SECRET_BYTES);
}

export function formatEndpointSecret(secret: Buffer): string {
  return `whsec_${secret.toString("base64")}`;
}
