/** The web framework's own errors (malformed JSON, too large a body, …) in our words. */
import { InputError } from "../core/errors.ts";

/** Codes of fastify (`lib/errors.js`) that a request can cause. */
const KNOWN: Readonly<Record<string, () => InputError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new InputError("unsupported_media_type", "The body must be JSON, with content-type: application/json"),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new InputError("payload_too_large", "The body is larger than 64 kB"),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new InputError("invalid_request", "The body is not as long as content-length says"),
  FST_ERR_CTP_EMPTY_JSON_BODY: () =>
    new InputError("invalid_request", "The body is empty, but content-type says JSON"),
  FST_ERR_CTP_INVALID_JSON_BODY: () => new InputError("invalid_request", "The body is not valid JSON"),
  FST_ERR_BAD_URL: () => new InputError("invalid_request", "The path is not a valid URL path"),
  FST_ERR_MAX_PARAM_LENGTH: () => new InputError("not_found", "There is nothing at this path"),
};

/** The error as it is, unless it is one of the framework's about the request. */
export function translateFrameworkError(error: Error): Error {
  const code = (error as { code?: unknown }).code;
  return (typeof code === "string" ? KNOWN[code]?.() : undefined) ?? error;
}
