/**
 * Keeps secrets at rest: AES-256-GCM under a key from the environment (`DEPOSITD_SECRET_KEY`). Older keys
 * (`DEPOSITD_OLD_SECRET_KEYS`) open what was sealed under them, and seal nothing any more.
 *
 * A sealed secret is
 *
 *   version (1 byte, 1) | key id (4 bytes) | nonce (12 bytes) | ciphertext | tag (16 bytes)
 *
 * The key id is the start of the key's SHA-256. It tells which key it was, and a wrong key from damaged data. Version
 * and key id are authenticated with the rest.
 */
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { FatalError } from "../core/errors.ts";
import type { Random } from "./random.ts";

export const SECRET_KEY_BYTES = 32;

const FORMAT_VERSION = 1;
const HEADER_BYTES = 5;
// 12 bytes is GCM's own nonce length; drawn at random they stay apart for 2^32 secrets under one key.
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface SecretBox {
  seal(plain: Buffer): Buffer;
  /** @throws {FatalError} `secret_key_wrong` when it was sealed under another key, or is damaged. */
  open(sealed: Buffer): Buffer;
  /** Names the key that seals now: the first 8 hex digits of the SHA-256 of its bytes. */
  readonly keyId: string;
  /** Whether it was sealed under the key that seals now. */
  isCurrent(sealed: Buffer): boolean;
}

/**
 * @param oldKeys for opening only
 * @throws {FatalError} `secret_key_wrong` when a key is not 32 bytes long.
 */
export function createSecretBox(key: Buffer, random: Random, oldKeys: readonly Buffer[] = []): SecretBox {
  const header = headerOf(key);
  const keyByHeader = new Map([...oldKeys, key].map((each) => [headerOf(each).toString("hex"), each]));
  const headerOfSealed = (sealed: Buffer) => sealed.subarray(0, HEADER_BYTES).toString("hex");
  return {
    seal: (plain) => seal(key, header, random.bytes(NONCE_BYTES), plain),
    open: (sealed) => open(keyByHeader.get(headerOfSealed(sealed)) ?? key, sealed),
    keyId: header.subarray(1).toString("hex"),
    isCurrent: (sealed) => headerOfSealed(sealed) === header.toString("hex"),
  };
}

function headerOf(key: Buffer): Buffer {
  if (key.length !== SECRET_KEY_BYTES) {
    throw new FatalError("secret_key_wrong", `A secret key must be ${SECRET_KEY_BYTES} bytes long`, {
      bytes: key.length,
    });
  }
  return Buffer.concat([Buffer.from([FORMAT_VERSION]), keyId(key)]);
}

function seal(key: Buffer, header: Buffer, nonce: Buffer, plain: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(header);
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]);
}

function open(key: Buffer, sealed: Buffer): Buffer {
  const header = headerOf(key);
  if (sealed.length < HEADER_BYTES + NONCE_BYTES + TAG_BYTES || sealed[0] !== FORMAT_VERSION) {
    throw new FatalError("secret_key_wrong", "A stored secret is damaged, or of a newer version", {
      bytes: sealed.length,
      version: sealed[0],
    });
  }
  const sealedUnder = sealed.subarray(1, HEADER_BYTES).toString("hex");
  const ours = header.subarray(1).toString("hex");
  if (sealedUnder !== ours) {
    throw new FatalError("secret_key_wrong", "A stored secret was sealed under another DEPOSITD_SECRET_KEY", {
      keyId: ours,
      sealedUnderKeyId: sealedUnder,
    });
  }
  const nonce = sealed.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(header);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([
      decipher.update(sealed.subarray(HEADER_BYTES + NONCE_BYTES, -TAG_BYTES)),
      decipher.final(),
    ]);
  } catch (rawError) {
    throw new FatalError(
      "secret_key_wrong",
      "A stored secret is damaged: its tag does not fit",
      {},
      rawError,
    );
  }
}

/** 4 bytes that name the key and, being of a hash of 256 random bits, tell nothing of it. */
function keyId(key: Buffer): Buffer {
  return createHash("sha256")
    .update(key)
    .digest()
    .subarray(0, HEADER_BYTES - 1);
}
