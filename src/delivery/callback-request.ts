/** A claimed delivery as the HTTP request that carries it. */

import type { SecretBox } from "../runtime/secret-box.ts";
import type { ClaimedDelivery } from "./claim-store.ts";
import type { CustomHeaders } from "./custom-headers.ts";
import type { CallbackRequest } from "./egress.ts";
import { createKeyOpener, type SealedKey } from "./endpoint-secret.ts";
import { publicEventId } from "./public-id.ts";
import { type SigningKey, signCallback } from "./signature.ts";

/** What is sealed in an endpoint's row, opened; remembered, as it is the same for all of its deliveries. */
export interface RequestOpeners {
  /** Those of one endpoint. */
  keys(sealed: readonly SealedKey[]): readonly SigningKey[];
  headers(sealed: Buffer): CustomHeaders;
}

const MAX_OPENED = 1_000;

export function createRequestOpeners(secretBox: Pick<SecretBox, "open">): RequestOpeners {
  const openKey = createKeyOpener(secretBox);
  // The deliveries of one claim share what is their endpoint's.
  const keysOf = new WeakMap<readonly SealedKey[], readonly SigningKey[]>();
  const opened = new Map<string, CustomHeaders>();
  return {
    keys: (sealed) => {
      const known = keysOf.get(sealed);
      if (known !== undefined) return known;
      const keys = sealed.map(openKey);
      keysOf.set(sealed, keys);
      return keys;
    },
    headers: (sealed) => {
      const name = sealed.toString("latin1");
      const known = opened.get(name);
      if (known !== undefined) return known;
      const headers = JSON.parse(secretBox.open(sealed).toString("utf8")) as CustomHeaders;
      if (opened.size >= MAX_OPENED) opened.clear();
      opened.set(name, headers);
      return headers;
    },
  };
}

/** The headers of a callback, whoever sends it. @param callback.id the event's, as it is called outside */
export function callbackHeaders(callback: {
  readonly id: string;
  readonly body: string | Buffer;
  readonly keys: readonly SigningKey[];
  readonly nowMs: number;
}): Record<string, string> {
  const { id, body, keys, nowMs } = callback;
  const signed = signCallback({ id, timestampSeconds: Math.floor(nowMs / 1000), body, keys });
  return {
    "content-type": "application/json",
    "user-agent": "depositd",
    // An answer that needs no unpacking cannot unpack to gigabytes.
    "accept-encoding": "identity",
    "webhook-id": signed["webhook-id"],
    "webhook-timestamp": signed["webhook-timestamp"],
    "webhook-signature": signed["webhook-signature"],
  };
}

/**
 * `webhook-id` and body are the event's, so they are the same on every attempt and for every endpoint; timestamp
 * and signature are this attempt's.
 *
 * @throws {FatalError} `secret_key_wrong` when the endpoint's secret cannot be opened
 */
export function callbackRequest(
  claim: ClaimedDelivery,
  openers: RequestOpeners,
  nowMs: number,
  timeoutMs: number,
): CallbackRequest {
  const { url } = claim;
  const body = Buffer.from(claim.body);
  const keys = openers.keys(claim.keys);
  const ours = callbackHeaders({ id: publicEventId(claim.eventId), body, keys, nowMs });
  const headers = claim.sealedHeaders === null ? ours : { ...openers.headers(claim.sealedHeaders), ...ours };
  return { url, body, timeoutMs, headers };
}
