/** A route of `/v1` as data: what it reads, what it answers, what it does. The server and OpenAPI are made of it. */
import type { z } from "zod";
import type { Database } from "../db/database.ts";
import type { Caller } from "../merchants/api-key-store.ts";

export interface RouteRequest<Params, Query, Body> {
  /** Whose key it was; all that a route touches is this merchant's, unless it is for operators alone. */
  readonly caller: Caller;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Under an `Idempotency-Key` this is inside the transaction that keeps the answer. */
  readonly database: Database;
  readonly idempotencyKey: string | undefined;
}

export interface Answer {
  readonly status: number;
  /** Plain JSON values; `undefined` for none. */
  readonly body: unknown;
  /** Once what was done is committed: whom to wake. A hint. */
  readonly afterwards?: () => Promise<void>;
}

export interface Route<Params = unknown, Query = unknown, Body = unknown> {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** As OpenAPI writes it: `/v1/deposits/{id}`. */
  readonly path: string;
  readonly summary: string;
  /** For operators' keys alone, of whichever merchant. */
  readonly operatorOnly?: boolean;
  readonly params?: z.ZodType<Params>;
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  /** Answers by status; `null`: no body. Errors are problems everywhere and not listed. */
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly shape: z.ZodType | null }>
  >;
  /** The answer shows a secret: it is kept sealed for a repeat under the same `Idempotency-Key`. */
  readonly hasSecretAnswer?: boolean;
  handle(request: RouteRequest<Params, Query, Body>): Promise<Answer>;
}

/** Infers the handler's types from the shapes, then forgets them: a list of routes needs no more. */
export function route<Params, Query, Body>(definition: Route<Params, Query, Body>): Route {
  return definition as Route;
}
