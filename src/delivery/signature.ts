/**
 * The headers that let a merchant know a callback is ours (Standard Webhooks 1.0):
 * `webhook-id`, `webhook-timestamp`, and `webhook-signature`, a space-separated list of signatures of which
 * one that fits is enough.
 */
import { createHmac, type KeyObject, sign } from "node:crypto";

/** `v1`: HMAC-SHA256 under a secret that both sides know. `v1a`: Ed25519, so that the merchant keeps no secret. */
export const SIGNATURE_SCHEMES = ["v1", "v1a"] as const;
export type SignatureScheme = (typeof SIGNATURE_SCHEMES)[number];

export type SigningKey =
  | { readonly scheme: "v1"; readonly secret: Buffer }
  | { readonly scheme: "v1a"; readonly privateKey: KeyObject };

export interface SignatureHeaders {
  "webhook-id": string;
  "webhook-timestamp": string;
  "webhook-signature": string;
}

/**
 * Signs `id.timestamp.body` with each of the keys; a signature is its scheme, a comma and base64.
 *
 * @param id the same on every attempt; must hold no full stop, as that separates what is signed
 * @param timestampSeconds seconds since 1970 of *this attempt*; verifiers refuse one that is 5 minutes off
 * @param body exactly what is sent; text is signed as UTF-8
 * @param keys the endpoint's key, with the one before it while the merchant changes over
 */
export function signCallback(callback: {
  id: string;
  timestampSeconds: number;
  body: string | Buffer;
  keys: readonly SigningKey[];
}): SignatureHeaders {
  const { id, timestampSeconds, body, keys } = callback;
  const head = `${id}.${timestampSeconds}.`;
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestampSeconds),
    "webhook-signature": keys.map((key) => signatureOf(key, head, body)).join(" "),
  };
}

function signatureOf(key: SigningKey, head: string, body: string | Buffer): string {
  if (key.scheme === "v1") {
    return `v1,${createHmac("sha256", key.secret).update(head).update(body).digest("base64")}`;
  }
  const signed = Buffer.concat([Buffer.from(head), Buffer.from(body)]);
  return `v1a,${sign(null, signed, key.privateKey).toString("base64")}`;
}
