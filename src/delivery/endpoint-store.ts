/** Endpoints: where a merchant wants its callbacks, and the secret they are signed with. */
import { InputError } from "../core/errors.ts";
import { DEFAULT_EVENT_TYPES, EVENT_TYPES, type EventType } from "../core/event.ts";
import type { Database } from "../db/database.ts";
import type { EndpointModel } from "../db/generated/models.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { assertCallbackUrl } from "./callback-url.ts";
import { type CustomHeaders, parseCustomHeaders } from "./custom-headers.ts";
import { skipKeptDeliveries } from "./delivery-store.ts";
import { createEndpointSecret, formatEndpointSecret, formatPublicKey } from "./endpoint-secret.ts";
import type { SignatureScheme } from "./signature.ts";

export const ENDPOINT_STATUSES = ["enabled", "disabled"] as const;
export type EndpointStatus = (typeof ENDPOINT_STATUSES)[number];

/**
 * Why an endpoint is disabled: the merchant did it, the endpoint answered 410 Gone, or its attempts failed for days.
 * What happens meanwhile is kept, and sent when it is enabled again.
 */
export const DISABLED_REASONS = ["by_merchant", "gone", "failing"] as const;

export interface Endpoint {
  readonly id: string;
  readonly merchantId: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly status: EndpointStatus;
  readonly disabledReason: string | null;
  readonly signature: SignatureScheme;
  /** `whpk_…` of `v1a`. */
  readonly publicKey: string | null;
  /** Until when the key before this one signs too; `null` when there is none. */
  readonly previousKeyUntil: Date | null;
  /** Of the headers that the merchant wants with its callbacks; their values are not shown. */
  readonly headerNames: readonly string[];
  /** Its own waits before each attempt; `null`: the config's. */
  readonly scheduleMs: readonly number[] | null;
  /** Since when no attempt has succeeded; `null` while all is well. */
  readonly failingSince: Date | null;
  /** Until when nothing is sent to it; may have passed. */
  readonly pausedUntil: Date | null;
  readonly createdAt: Date;
}

export interface EndpointChanges {
  readonly url?: string;
  readonly events?: readonly string[];
  readonly status?: EndpointStatus;
  /** In place of those it has; an empty map takes them away. */
  readonly headers?: CustomHeaders;
  /** `null`: the config's from now on. */
  readonly scheduleMs?: readonly number[] | null;
  /** With status `enabled`: what becomes of what was kept while it was disabled. It is sent if nothing is said. */
  readonly keptEvents?: "send" | "skip";
}

export interface EndpointPolicy {
  readonly allowPrivateTargets: boolean;
  /** Of the config's schedule. */
  readonly firstDelayMs: number;
}

export interface WantedEndpoint {
  readonly merchantId: string;
  readonly url: string;
  /** `DEFAULT_EVENT_TYPES` if none are named. */
  readonly events?: readonly string[];
  /** `v1` if none is named. */
  readonly signature?: SignatureScheme;
  readonly headers?: CustomHeaders;
  readonly scheduleMs?: readonly number[] | null;
}

export interface EndpointParts {
  readonly database: Database;
  readonly secretBox: SecretBox;
  readonly random: Random;
}

/** Of one merchant. Each endpoint gets a share of the attempts, and a row for each event. */
const MOST_ENDPOINTS = 1_000;

/**
 * Makes an endpoint with a key of its own. The secret is shown here and never again; `v1a` has none to show.
 *
 * @throws {InputError} `invalid_url`, `too_many_endpoints`, or `invalid_request` for an unknown event type or a header
 *   that cannot be
 */
export async function createEndpoint(
  parts: EndpointParts,
  wanted: WantedEndpoint,
  policy: EndpointPolicy,
): Promise<{ endpoint: Endpoint; secret: string | null }> {
  const { href: url } = assertCallbackUrl(wanted.url, policy);
  const events = wanted.events === undefined ? [...DEFAULT_EVENT_TYPES] : parseEventTypes(wanted.events);
  const secret = createEndpointSecret(parts.random, wanted.signature);
  const { sealed, names } = sealHeaders(parts.secretBox, wanted.headers ?? {});
  const id = `end_${parts.random.bytes(10).toString("hex")}`;
  // In SQL, so that it joins the transaction of an idempotent request: a crash must not leave a second endpoint.
  const [row] = await parts.database.query<{ created_at: Date }>(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret, signature, public_key, headers, header_names,
       schedule_ms, first_delay_ms)
     SELECT $1, $2, $3, $4::text[], $5::bytea, $6, $7::bytea, $8::bytea, $9::text[], $10::integer[], $11::integer
     WHERE (SELECT count(*) FROM endpoints WHERE merchant_id = $2 AND deleted_at IS NULL) < $12
     RETURNING created_at`,
    [
      id,
      wanted.merchantId,
      url,
      events,
      parts.secretBox.seal(secret.bytes),
      secret.scheme,
      secret.publicKey,
      sealed,
      names,
      wanted.scheduleMs ?? [],
      wanted.scheduleMs?.[0] ?? policy.firstDelayMs,
      MOST_ENDPOINTS,
    ],
  );
  if (row === undefined)
    throw new InputError("too_many_endpoints", `A merchant may have ${MOST_ENDPOINTS} endpoints at most`);
  const endpoint: Endpoint = {
    id,
    merchantId: wanted.merchantId,
    url,
    events,
    status: "enabled",
    disabledReason: null,
    signature: secret.scheme,
    publicKey: secret.publicKey === null ? null : formatPublicKey(secret.publicKey),
    previousKeyUntil: null,
    headerNames: names,
    scheduleMs: wanted.scheduleMs ?? null,
    failingSince: null,
    pausedUntil: null,
    createdAt: row.created_at,
  };
  return { endpoint, secret: formatEndpointSecret(secret) };
}

function sealHeaders(secretBox: SecretBox, given: CustomHeaders): { sealed: Buffer | null; names: string[] } {
  const headers = parseCustomHeaders(given);
  const names = Object.keys(headers);
  return { sealed: names.length === 0 ? null : secretBox.seal(Buffer.from(JSON.stringify(headers))), names };
}

/** In the order they were made. */
export async function listEndpoints(database: Database, merchantId: string): Promise<Endpoint[]> {
  const rows = await database.prisma.endpoint.findMany({
    where: { merchantId, deletedAt: null },
    orderBy: [{ createdAt: "asc" }, { id: "asc" }],
  });
  return rows.map(toEndpoint);
}

/** @throws {InputError} `not_found`, also for another merchant's */
export async function getEndpoint(database: Database, merchantId: string, id: string): Promise<Endpoint> {
  const row = await database.prisma.endpoint.findFirst({ where: { id, merchantId, deletedAt: null } });
  if (row === null) throw notFound(id);
  return toEndpoint(row);
}

/**
 * Changes what is named and leaves the rest, all of it or nothing. After enabling one, nudge the deliverer: what was
 * kept is due.
 *
 * @throws {InputError} `not_found`, `invalid_url`, or `invalid_request` for an unknown event type or a header that
 *   cannot be
 */
export async function updateEndpoint(
  { database, secretBox }: Pick<EndpointParts, "database" | "secretBox">,
  merchantId: string,
  id: string,
  changes: EndpointChanges,
  policy: EndpointPolicy,
): Promise<Endpoint> {
  const columns = Object.entries(columnsOf(secretBox, changes, policy));
  const assignments = columns.map(([name], index) => `${name} = $${index + 3}`);
  const values = [id, merchantId, ...columns.map(([, value]) => value)];
  if (columns.length > 0) {
    await database.transaction(async (tx) => {
      // First, while it is disabled still; and in the order in which those who record outcomes lock rows.
      if (changes.keptEvents === "skip") await skipKeptDeliveries(tx, id);
      const updated = await tx.query<{ id: string }>(
        `UPDATE endpoints SET ${assignments.join(", ")}
         WHERE id = $1 AND merchant_id = $2 AND deleted_at IS NULL RETURNING id`,
        values,
      );
      if (updated.length === 0) throw notFound(id);
    });
  }
  return getEndpoint(database, merchantId, id);
}

/**
 * Ends an endpoint. Its row stays, as its deliveries refer to it; those still due fail at the deliverer's next
 * sweep.
 *
 * @throws {InputError} `not_found`
 */
export async function deleteEndpoint(database: Database, merchantId: string, id: string): Promise<void> {
  const deleted = await database.query<{ id: string }>(
    `UPDATE endpoints SET deleted_at = now() WHERE id = $1 AND merchant_id = $2 AND deleted_at IS NULL
     RETURNING id`,
    [id, merchantId],
  );
  if (deleted.length === 0) throw notFound(id);
}

/** What is changed, by column. */
function columnsOf(
  secretBox: SecretBox,
  changes: EndpointChanges,
  policy: EndpointPolicy,
): Record<string, unknown> {
  const { url, events, status, scheduleMs } = changes;
  const headers = changes.headers === undefined ? undefined : sealHeaders(secretBox, changes.headers);
  return {
    ...(url === undefined ? {} : { url: assertCallbackUrl(url, policy).href }),
    ...(events === undefined ? {} : { events: parseEventTypes(events) }),
    ...(status === undefined
      ? {}
      : { status, disabled_reason: status === "enabled" ? null : DISABLED_REASONS[0] }),
    ...(scheduleMs === undefined
      ? {}
      : { schedule_ms: scheduleMs ?? [], first_delay_ms: scheduleMs?.[0] ?? policy.firstDelayMs }),
    // What is known of the old URL, or of the time before it was disabled, says nothing of the new.
    ...(url !== undefined || status === "enabled" ? CLOSED_BREAKER : {}),
    ...(headers === undefined ? {} : { headers: headers.sealed, header_names: headers.names }),
  };
}

const CLOSED_BREAKER = {
  failures: 0,
  pauses: 0,
  paused_until: null,
  failing_since: null,
  last_failed_at: null,
};

function parseEventTypes(names: readonly string[]): EventType[] {
  const types = EVENT_TYPES.filter((type) => names.includes(type));
  const unknown = names.find((name) => !(EVENT_TYPES as readonly string[]).includes(name));
  if (unknown !== undefined || types.length === 0) {
    throw new InputError("invalid_request", `events must be a list of: ${EVENT_TYPES.join(", ")}`, {
      path: "events",
      value: unknown ?? null,
    });
  }
  return types;
}

function toEndpoint(row: EndpointModel): Endpoint {
  const { id, merchantId, url, events, disabledReason, createdAt, headerNames, failingSince, pausedUntil } =
    row;
  return {
    id,
    merchantId,
    url,
    events,
    disabledReason,
    createdAt,
    headerNames,
    failingSince,
    pausedUntil,
    scheduleMs: row.scheduleMs.length === 0 ? null : row.scheduleMs,
    status: row.status === "enabled" ? "enabled" : "disabled",
    signature: row.signature === "v1a" ? "v1a" : "v1",
    publicKey: row.publicKey === null ? null : formatPublicKey(row.publicKey),
    previousKeyUntil: row.previousUntil,
  };
}

function notFound(id: string): InputError {
  return new InputError("not_found", "There is no such endpoint", { id });
}
