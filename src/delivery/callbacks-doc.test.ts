/** `docs/callbacks.md` is what merchants build on: what it shows is held against the code. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { EVENT_TYPES } from "../core/event.ts";
import { SEEN_STATUSES } from "../core/seen-payment.ts";
import { ATTEMPT_ERRORS } from "./attempt-outcome.ts";
import { parseCustomHeaders } from "./custom-headers.ts";
import { createEndpointSecret, createKeyOpener, formatPublicKey } from "./endpoint-secret.ts";
import { signCallback } from "./signature.ts";

const text = readFileSync(new URL("../../docs/callbacks.md", import.meta.url), "utf8");

describe("docs/callbacks.md", () => {
  it("has a line for each event type, and none for others", () => {
    const types = [...text.matchAll(/^\| `((?:deposit|order|endpoint)\.\w+)` +\|/gm)].map(([, type]) => type);
    expect(types).toEqual(EVENT_TYPES);
  });

  it("has a line for each status of a seen payment", () => {
    const [, section = ""] = /### Before it is mined\n([\s\S]*?)\n## /.exec(text) ?? [];
    expect([...section.matchAll(/^\| `(\w+)` +\|/gm)].map(([, status]) => status)).toEqual(SEEN_STATUSES);
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

  it("gives an Ed25519 signature to check a verifier with that is right, and code that says so", () => {
    const [, table = ""] = text.split("<!-- vector v1a -->");
    const [publicKey = "", id = "", timestamp = "", body = "", signature = ""] = [
      ...table.matchAll(/\| `([^`]*)` +\|$/gm),
    ].map(([, value]) => value ?? "");
    const bytes = Buffer.from("depositd test seed, 32 bytes !!!");
    const random = { bytes: () => bytes, fraction: () => 0 };
    const secret = createEndpointSecret(random, "v1a");
    const key = createKeyOpener({ open: (sealed) => sealed })({ scheme: "v1a", sealed: secret.bytes });
    const signed = signCallback({ id, timestampSeconds: Number(timestamp), body, keys: [key] });
    expect(formatPublicKey(secret.publicKey ?? Buffer.alloc(0))).toBe(publicKey);
    expect(signed["webhook-signature"]).toBe(signature);
  });

  it("has a line for each error of an attempt that a merchant sees, and none for others", () => {
    const [, rest = ""] = text.split("<!-- errors -->");
    const [table = ""] = rest.split("\n\n");
    const named = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, error]) => error).slice(1);
    // What failed on our side is no attempt of theirs.
    const seen = ATTEMPT_ERRORS.filter((error) => error !== "proxy" && error !== "local");
    expect(named.sort()).toEqual([...seen].sort());
  });

  it("has the reserved headers right", () => {
    const [, list = ""] = /<!-- reserved -->([^.]*)\./.exec(text) ?? [];
    const names = [...list.matchAll(/`([a-z*-]+)`/g)].map(([, name]) => name ?? "");
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) {
      expect(() => parseCustomHeaders({ [name.replace("*", "x")]: "1" }), name).toThrow(/reserved/);
    }
  });
});
