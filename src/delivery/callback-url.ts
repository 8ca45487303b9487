/** What a callback URL may look like. Looked at when an endpoint is written, and again at every attempt. */
import { isIP } from "node:net";
import { InputError } from "../core/errors.ts";
import { isPublicAddress } from "./address-guard.ts";

const MAX_URL_LENGTH = 2_000;

/**
 * Takes https URLs without user info and fragment whose host is a name or a public address. The check is made
 * on what the WHATWG parser makes of the text: `0x7f.1`, `2130706433` and `①②⑦.⓪.⓪.①` are all 127.0.0.1 there.
 * A name may still lead to a private address: the egress looks at that when it connects.
 *
 * @param options.allowPrivateTargets also take http and any address: a developer's machine only
 * @throws {InputError} `invalid_url`
 */
export function assertCallbackUrl(text: string, options: { allowPrivateTargets: boolean }): URL {
  if (text.length > MAX_URL_LENGTH) throw refuse(`must be at most ${MAX_URL_LENGTH} characters long`);
  if (!URL.canParse(text)) throw refuse("is not a URL");
  const url = new URL(text);
  if (url.protocol !== "https:" && !(options.allowPrivateTargets && url.protocol === "http:")) {
    throw refuse(
      options.allowPrivateTargets ? "must begin with https:// or http://" : "must begin with https://",
    );
  }
  if (url.username !== "" || url.password !== "") throw refuse("must not carry a user name or password");
  if (url.hash !== "") throw refuse("must not have a fragment");
  if (!options.allowPrivateTargets && isPrivateLiteral(url.hostname))
    throw refuse("leads to an address that is not public");
  return url;
}

function isPrivateLiteral(hostname: string): boolean {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(address) !== 0 && !isPublicAddress(address);
}

/** The URL itself is not among the facts: its path or query may hold the merchant's own token. */
function refuse(why: string): InputError {
  return new InputError("invalid_url", `The callback URL ${why}`, { path: "url" });
}
