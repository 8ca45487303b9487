/**
 * A node's URL, taken apart: what is needed to reach it, and what may be shown. Providers put keys into the
 * path, the query and the credentials; none of these ever leaves this file but in a request.
 */
import { InputError } from "../core/errors.ts";

export interface NodeAddress {
  /** `host:port`, for people. */
  readonly name: string;
  readonly origin: string;
  /** With its query. Secret. */
  readonly path: string;
  /** The `authorization` header of `user:password@`. Secret. */
  readonly authorization: string | null;
  /** Puts `…` for every part of the URL that may be a key: nodes quote it in their error messages. */
  redact(text: string): string;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  "http:": "80",
  "https:": "443",
  "ws:": "80",
  "wss:": "443",
};

/** Shorter parts ("v2", "eth") are words, and would tear holes into every message. */
const MIN_SECRET_LENGTH = 8;

/** @throws {InputError} `invalid_url`; the message does not quote the URL */
export function parseNodeAddress(url: string, protocols: readonly string[]): NodeAddress {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !protocols.includes(parsed.protocol)) {
    const wanted = protocols.map((protocol) => `${protocol}//`).join(" or ");
    throw new InputError("invalid_url", `A node's URL must begin with ${wanted}`);
  }
  const user = decoded(parsed.username);
  const password = decoded(parsed.password);
  const secrets = secretsOf(parsed);
  return {
    name: `${parsed.hostname}:${parsed.port === "" ? DEFAULT_PORTS[parsed.protocol] : parsed.port}`,
    origin: parsed.origin,
    path: parsed.pathname + parsed.search,
    authorization:
      user === "" && password === ""
        ? null
        : `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
    redact: (text) => secrets.reduce((redacted, secret) => redacted.replaceAll(secret, "…"), text),
  };
}

/** Longest first, so that none is left in part. */
function secretsOf(url: URL): string[] {
  const parts = [url.username, url.password, ...url.pathname.split("/"), ...url.searchParams.values()];
  return [...parts, ...parts.map(decoded)]
    .filter((part) => part.length >= MIN_SECRET_LENGTH)
    .sort((a, b) => b.length - a.length);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a bare % is legal in a URL and stands for itself
  }
}
