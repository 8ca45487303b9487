/** From a request to its answer: who asks, what they ask, and doing it, once where an `Idempotency-Key` says so. */
import { createHash } from "node:crypto";
import { InputError } from "../core/errors.ts";
import type { Database, Sql } from "../db/database.ts";
import { authenticateApiKey, type Caller } from "../merchants/api-key-store.ts";
import { answerOnce } from "../merchants/idempotency-store.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { type RawRequest, readRequest } from "./read-request.ts";
import type { Route } from "./route.ts";

/** An answer as the bytes that are sent. */
export interface SentAnswer {
  readonly status: number;
  /** JSON; `null`: no body. */
  readonly text: string | null;
}

/** @throws {InputError} `unauthorized` */
export async function authenticate(sql: Sql, authorization: string | undefined): Promise<Caller> {
  const [, key] = /^Bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
  const caller = key === undefined ? undefined : await authenticateApiKey(sql, key);
  if (caller !== undefined) return caller;
  const why = key === undefined ? "is missing" : "is unknown or revoked";
  throw new InputError("unauthorized", `The API key ${why}; send it as Authorization: Bearer <key>`);
}

export async function answerRequest(
  parts: { readonly database: Database; readonly secretBox: SecretBox },
  route: Route,
  caller: Caller,
  raw: RawRequest,
  idempotencyKey: string | undefined,
): Promise<SentAnswer> {
  const { database } = parts;
  const request = { ...readRequest(route, raw), caller, idempotencyKey };
  let afterwards: (() => Promise<void>) | undefined;
  const handle = async (within: Database) => {
    const answer = await route.handle({ ...request, database: within });
    afterwards = answer.afterwards;
    return toSent(answer);
  };
  if (idempotencyKey === undefined) {
    const sent = await handle(database);
    await afterwards?.();
    return sent;
  }

  const box = route.hasSecretAnswer === true ? sealed(parts.secretBox) : clear;
  const kept = await answerOnce(
    database,
    { merchantId: caller.merchantId, key: idempotencyKey, requestHash: hashRequest(route, caller, request) },
    async (tx) => {
      const sent = await handle(joinTransaction(database, tx));
      return { status: sent.status, response: box.close(sent.text ?? "") };
    },
  );
  await afterwards?.();
  return { status: kept.status, text: box.open(kept.response) };
}

function toSent(answer: { status: number; body: unknown }): SentAnswer {
  return { status: answer.status, text: answer.body === undefined ? null : JSON.stringify(answer.body) };
}

/**
 * Over what was read, not over the bytes: the same request may be written with other spaces or another order of keys.
 * What operators ask for depends on who they are: one is never answered with what another was told.
 */
function hashRequest(route: Route, { keyId }: Caller, request: RawRequest): Buffer {
  const { params, query, body } = request;
  const who = route.operatorOnly === true ? [keyId] : [];
  return createHash("sha256")
    .update(JSON.stringify([route.method, route.path, params, query, body, ...who]))
    .digest();
}

/** The database as seen from inside a transaction: what would open one joins it. */
function joinTransaction(database: Database, tx: Sql): Database {
  return { ...database, query: tx.query, transaction: (work) => work(tx) };
}

interface AnswerBox {
  close(text: string): string;
  open(kept: string): string;
}

const clear: AnswerBox = { close: (text) => text, open: (kept) => kept };

function sealed(box: SecretBox): AnswerBox {
  return {
    close: (text) => box.seal(Buffer.from(text)).toString("base64"),
    open: (kept) => box.open(Buffer.from(kept, "base64")).toString("utf8"),
  };
}
