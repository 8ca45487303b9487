import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { systemRandom } from "../runtime/random.ts";
import { createEndpointSecret, formatEndpointSecret } from "./endpoint-secret.ts";
import { signCallback } from "./signature.ts";

const body = '{"type":"deposit.credited","data":{"userId":"Zoë 🪙"}}';
const timestampSeconds = Math.floor(Date.now() / 1000);
const secret = createEndpointSecret(systemRandom);

describe("signCallback", () => {
  it("G8: is verified by the stock standardwebhooks package, text and bytes alike", () => {
    const webhook = new Webhook(formatEndpointSecret(secret));
    for (const sent of [body, Buffer.from(body)]) {
      const headers = signCallback({ id: "evt_1", timestampSeconds, body: sent, secrets: [secret] });
      expect(webhook.verify(body, { ...headers })).toEqual(JSON.parse(body));
    }
  });

  it("G8: is refused when the body, the id or the time was changed", () => {
    const webhook = new Webhook(formatEndpointSecret(secret));
    const headers = { ...signCallback({ id: "evt_1", timestampSeconds, body, secrets: [secret] }) };
    const changed: [string, Record<string, string>][] = [
      [body.replace("credited", "reversed"), headers],
      [body, { ...headers, "webhook-id": "evt_2" }],
      [body, { ...headers, "webhook-timestamp": String(timestampSeconds + 1) }],
    ];
    for (const [payload, sent] of changed) {
      expect(() => webhook.verify(payload, sent)).toThrow(WebhookVerificationError);
    }
  });

  it("carries a signature under each secret, so that a verifier with either accepts it", () => {
    const previous = createEndpointSecret(systemRandom);
    const headers = signCallback({ id: "evt_1", timestampSeconds, body, secrets: [secret, previous] });
    for (const known of [secret, previous]) {
      expect(new Webhook(formatEndpointSecret(known)).verify(body, { ...headers })).toEqual(JSON.parse(body));
    }
    const stranger = new Webhook(formatEndpointSecret(createEndpointSecret(systemRandom)));
    expect(() => stranger.verify(body, { ...headers })).toThrow(WebhookVerificationError);
  });

  it("makes secrets of 32 bytes that differ", () => {
    expect(secret).toHaveLength(32);
    expect(createEndpointSecret(systemRandom)).not.toEqual(secret);
  });
});
