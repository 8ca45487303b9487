import { createPublicKey, verify } from "node:crypto";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { systemRandom } from "../runtime/random.ts";
import {
  createEndpointSecret,
  createKeyOpener,
  formatEndpointSecret,
  formatPublicKey,
  type NewSecret,
} from "./endpoint-secret.ts";
import { signCallback } from "./signature.ts";

const body = '{"type":"deposit.credited","data":{"userId":"Zoë 🪙"}}';
const timestampSeconds = Math.floor(Date.now() / 1000);
const secret = createEndpointSecret(systemRandom);
const shown = (each: NewSecret) => formatEndpointSecret(each) ?? "";
const v1 = ({ bytes }: NewSecret) => ({ scheme: "v1", secret: bytes }) as const;

describe("signCallback", () => {
  it("G8: is verified by the stock standardwebhooks package, text and bytes alike", () => {
    const webhook = new Webhook(shown(secret));
    for (const sent of [body, Buffer.from(body)]) {
      const headers = signCallback({ id: "evt_1", timestampSeconds, body: sent, keys: [v1(secret)] });
      expect(webhook.verify(body, { ...headers })).toEqual(JSON.parse(body));
    }
  });

  it("G8: is refused when the body, the id or the time was changed", () => {
    const webhook = new Webhook(shown(secret));
    const headers = { ...signCallback({ id: "evt_1", timestampSeconds, body, keys: [v1(secret)] }) };
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
    const headers = signCallback({ id: "evt_1", timestampSeconds, body, keys: [v1(secret), v1(previous)] });
    for (const known of [secret, previous]) {
      expect(new Webhook(shown(known)).verify(body, { ...headers })).toEqual(JSON.parse(body));
    }
    const stranger = new Webhook(shown(createEndpointSecret(systemRandom)));
    expect(() => stranger.verify(body, { ...headers })).toThrow(WebhookVerificationError);
  });

  it("signs v1a with Ed25519, verified with the public key alone", () => {
    const pair = createEndpointSecret(systemRandom, "v1a");
    expect(formatEndpointSecret(pair)).toBe(null);
    const key = createKeyOpener({ open: (sealed) => sealed })({ scheme: "v1a", sealed: pair.bytes });
    const headers = signCallback({ id: "evt_1", timestampSeconds, body, keys: [key, v1(secret)] });
    // All that a merchant has: the shown key, the headers and the body.
    const raw = Buffer.from(
      formatPublicKey(pair.publicKey ?? Buffer.alloc(0)).slice("whpk_".length),
      "base64",
    );
    const jwk = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") };
    const publicKey = createPublicKey({ key: jwk, format: "jwk" });
    const [signature = "", hmac = ""] = headers["webhook-signature"].split(" ");
    const isRight = (text: string) =>
      verify(null, Buffer.from(text), publicKey, Buffer.from(signature.replace("v1a,", ""), "base64"));
    expect(isRight(`evt_1.${timestampSeconds}.${body}`)).toBe(true);
    expect(isRight(`evt_2.${timestampSeconds}.${body}`)).toBe(false);
    expect(hmac).toMatch(/^v1,/);
    expect(new Webhook(shown(secret)).verify(body, { ...headers })).toEqual(JSON.parse(body));
  });

  it("signs v1a as RFC 8032 says (section 7.1, test 1)", () => {
    const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex");
    const { publicKey } = createEndpointSecret({ bytes: () => seed, fraction: () => 0 }, "v1a");
    expect(publicKey?.toString("hex")).toBe(
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    );
  });

  it("makes secrets of 32 bytes that differ", () => {
    expect(secret.bytes).toHaveLength(32);
    expect(createEndpointSecret(systemRandom)).not.toEqual(secret);
  });
});
