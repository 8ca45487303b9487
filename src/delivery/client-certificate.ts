/** The certificate that callbacks show where an endpoint asks for one (mutual TLS). */
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { coerceError, InputError } from "../core/errors.ts";

/** PEM, both. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** @throws {InputError} `config_unreadable` when a file is not there, or the two do not belong together */
export async function readClientCertificate(files: {
  readonly certFile: string;
  readonly keyFile: string;
}): Promise<ClientCertificate> {
  try {
    const [cert, key] = await Promise.all([
      readFile(files.certFile, "utf8"),
      readFile(files.keyFile, "utf8"),
    ]);
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (rawError) {
    const { message } = coerceError(rawError);
    throw new InputError("config_unreadable", `callbacks.clientCertificate cannot be used: ${message}`);
  }
}
