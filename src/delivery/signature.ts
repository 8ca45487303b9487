/**
 * The headers that let a merchant know a callback is ours (Standard Webhooks 1.0):
 * `webhook-id`, `webhook-timestamp`, and `webhook-signature`, a space-separated list of signatures of which
 * one that fits is enough.
 */
import { createHmac } from "node:crypto";

export interface SignatureHeaders {
  "webhook-id": string;
  "webhook-timestamp": string;
  "webhook-signature": string;
}

/**
 * Signs with each of the secrets: `v1` is HMAC-SHA256 over `id.timestamp.body`, in base64.
 *
 * @param id the same on every attempt; must hold no full stop, as that separates what is signed
 * @param timestampSeconds seconds since 1970 of *this attempt*; verifiers refuse one that is 5 minutes off
 * @param body exactly what is sent; text is signed as UTF-8
 * @param secrets the endpoint's secret, with the one before it while merchants change over
 */
export function signCallback(callback: {
  id: string;
  timestampSeconds: number;
  body: string | Buffer;
  secrets: readonly Buffer[];
}): SignatureHeaders {
  const { id, timestampSeconds, body, secrets } = callback;
  const signatures = secrets.map((secret) => {
    const hmac = createHmac("sha256", secret).update(`${id}.${timestampSeconds}.`).update(body);
    return `v1,${hmac.digest("base64")}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestampSeconds),
    "webhook-signature": signatures.join(" "),
  };
}
