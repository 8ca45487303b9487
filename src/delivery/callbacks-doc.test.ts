/** `docs/callbacks.md` is what merchants build on: what it shows is held against the code. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Deposit } from "../core/deposit.ts";
import { depositBody } from "../core/deposit-body.ts";
import { DEPOSIT_EVENT_TYPES } from "../core/event.ts";
import { checksumAddress, parseAddress, parseHash } from "../core/hex.ts";
import { signCallback } from "./signature.ts";

const text = readFileSync(new URL("../../docs/callbacks.md", import.meta.url), "utf8");

const deposit: Deposit = {
  id: "dep_7kq2v9c4m1x8zr5t0hjw3ynb6gd2s4fa",
  sequence: 2,
  generation: 1,
  status: "credited",
  reason: null,
  merchantId: "mer_0c9a51e1b9a64f2f7b11",
  userId: "alice",
  chainId: 1,
  assetId: 1,
  currency: "USDT",
  decimals: 6,
  token: parseAddress("0xdac17f958d2ee523a2206206994597c13d831ec7"),
  amountBaseUnits: 12_500_000n,
  from: parseAddress("0x28c6c06298d514db089934071355e5743bf21d60"),
  to: parseAddress("0x52908400098527886e0f7030069857d2e4169ee7"),
  txHash: parseHash("0x9fc76417374aa880d4449a1f7f31ec597f00b1f6f3dd2d66f4c9c6c445836d8b"),
  source: "log:0",
  blockNumber: 23_456_789n,
  blockHash: parseHash("0x3b3ae5fa8ee7d0b2b9f2ab5c0a2f1a4a3b6f8f1f3f4e5d6c7b8a99887766554a"),
  blockTime: new Date("2026-11-22T14:00:11Z"),
  verification: "proved",
  creditAt: "12",
  unlockAt: "finalized",
  detectedAt: new Date("2026-11-22T14:00:12.402Z"),
  creditedAt: new Date("2026-11-22T14:02:24.118Z"),
  unlockedAt: null,
  shortfallBaseUnits: null,
};

describe("docs/callbacks.md", () => {
  it("shows the body that is sent, field for field", () => {
    const [, json = ""] = /<!-- example -->\n```json\n([^`]*)```/.exec(text) ?? [];
    const shown = JSON.parse(json);
    const data = depositBody(deposit, deposit.blockNumber + 11n);
    expect(shown).toEqual({ type: "deposit.credited", timestamp: "2026-11-22T14:02:24.118Z", data });
    expect(Object.keys(shown.data)).toEqual(Object.keys(data));
    expect(shown.data.from).toBe(checksumAddress(deposit.from));
  });

  it("has a line for each event type, and none for others", () => {
    const types = [...text.matchAll(/^\| `(deposit\.\w+)` +\|/gm)].map(([, type]) => type);
    expect(types).toEqual(DEPOSIT_EVENT_TYPES);
  });

  it("gives a signature to check a verifier with that is right", () => {
    const [, table = ""] = text.split("<!-- vector -->");
    const [secret, id, timestamp, body, signature] = [...table.matchAll(/\| `([^`]*)` +\|$/gm)].map(
      ([, value]) => value ?? "",
    );
    const signed = signCallback({
      id: id ?? "",
      timestampSeconds: Number(timestamp),
      body: body ?? "",
      keys: [{ scheme: "v1", secret: Buffer.from(secret?.replace("whsec_", "") ?? "", "base64") }],
    });
    expect(signed["webhook-signature"]).toBe(signature);
  });
});
