/** Endpoints: where a merchant wants its callbacks, and the secret they are signed with. */
import { FatalError, InputError } from "../core/errors.ts";
import { DEFAULT_EVENT_TYPES, EVENT_TYPES, type EventType } from "../core/event.ts";
import type { Database } from "../db/database.ts";
import type { EndpointModel } from "../db/generated/models.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { assertCallbackUrl } from "./callback-url.ts";
import { createEndpointSecret, formatEndpointSecret } from "./endpoint-secret.ts";

export const ENDPOINT_STATUSES = ["enabled", "disabled"] as const;
export type EndpointStatus = (typeof ENDPOINT_STATUSES)[number];

/**
 * Why an endpoint is disabled: the merchant did it, or the endpoint answered 410 Gone. What happens meanwhile is
 * kept, and sent when it is enabled again.
 */
export const DISABLED_REASONS = ["by_merchant", "gone"] as const;

export interface Endpoint {
  readonly id: string;
  readonly merchantId: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly status: EndpointStatus;
  readonly disabledReason: string | null;
  readonly createdAt: Date;
}

export interface EndpointChanges {
  readonly url?: string;
  readonly events?: readonly string[];
  readonly status?: EndpointStatus;
}

export interface UrlPolicy {
  readonly allowPrivateTargets: boolean;
}

/**
 * Makes an endpoint with a secret of its own. The secret is shown here and never again.
 *
 * @param wanted.events the types it gets; all but `deposit.ignored` if none are named
 * @throws {InputError} `invalid_url`, or `invalid_request` for an unknown event type
 */
export async function createEndpoint(
  parts: { readonly database: Database; readonly secretBox: SecretBox; readonly random: Random },
  wanted: { readonly merchantId: string; readonly url: string; readonly events?: readonly string[] },
  policy: UrlPolicy,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const { href: url } = assertCallbackUrl(wanted.url, policy);
  const events = wanted.events === undefined ? [...DEFAULT_EVENT_TYPES] : parseEventTypes(wanted.events);
  const secret = createEndpointSecret(parts.random);
  const id = `end_${parts.random.bytes(10).toString("hex")}`;
  // In SQL, so that it joins the transaction of an idempotent request: a crash must not leave a second endpoint.
  const [row] = await parts.database.query<{ created_at: Date }>(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret) VALUES ($1, $2, $3, $4, $5) RETURNING created_at`,
    [id, wanted.merchantId, url, events, parts.secretBox.seal(secret)],
  );
  if (row === undefined)
    throw new FatalError("internal", "An endpoint was inserted without an answer", { id });
  const { merchantId } = wanted;
  const createdAt = row.created_at;
  const endpoint: Endpoint = {
    id,
    merchantId,
    url,
    events,
    status: "enabled",
    disabledReason: null,
    createdAt,
  };
  return { endpoint, secret: formatEndpointSecret(secret) };
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
 * Changes what is named and leaves the rest. After enabling one, nudge the deliverer: what was kept is due.
 *
 * @throws {InputError} `not_found`, `invalid_url`, or `invalid_request` for an unknown event type
 */
export async function updateEndpoint(
  database: Database,
  merchantId: string,
  id: string,
  changes: EndpointChanges,
  policy: UrlPolicy,
): Promise<Endpoint> {
  const { count } = await database.prisma.endpoint.updateMany({
    where: { id, merchantId, deletedAt: null },
    data: {
      ...(changes.url === undefined ? {} : { url: assertCallbackUrl(changes.url, policy).href }),
      ...(changes.events === undefined ? {} : { events: parseEventTypes(changes.events) }),
      ...(changes.status === undefined ? {} : statusData(changes.status)),
    },
  });
  if (count === 0) throw notFound(id);
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

function statusData(status: EndpointStatus) {
  return { status, disabledReason: status === "disabled" ? DISABLED_REASONS[0] : null };
}

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
  const { id, merchantId, url, events, disabledReason, createdAt } = row;
  const status = row.status === "enabled" ? "enabled" : "disabled";
  return { id, merchantId, url, events, status, disabledReason, createdAt };
}

function notFound(id: string): InputError {
  return new InputError("not_found", "There is no such endpoint", { id });
}
