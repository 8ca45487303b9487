/** Callback endpoints. */
import { z } from "zod";
import { InputError } from "../../core/errors.ts";
import { EVENT_TYPES } from "../../core/event.ts";
import {
  createEndpoint,
  deleteEndpoint,
  ENDPOINT_STATUSES,
  type Endpoint,
  type EndpointChanges,
  getEndpoint,
  listEndpoints,
  updateEndpoint,
  type WantedEndpoint,
} from "../../delivery/endpoint-store.ts";
import { SIGNATURE_SCHEMES } from "../../delivery/signature.ts";
import { formatDuration, parseDuration } from "../../runtime/config/duration.ts";
import { pageOf } from "../answers.ts";
import { type EndpointBody, endpointShape, newEndpointShape } from "../callback-answers.ts";
import { eventType, id, pageQuery } from "../inputs.ts";
import { decodeCursor, toPage } from "../page-cursor.ts";
import type { HttpParts } from "../parts.ts";
import { type Route, route } from "../route.ts";

const url = z.string().max(2_000).describe("https, to a public address.");
const events = z
  .array(eventType)
  .min(1)
  .max(EVENT_TYPES.length)
  .describe("The types it gets. Left out: all but deposit.ignored and deposit.seen.");
const signature = z
  .enum(SIGNATURE_SCHEMES)
  .describe("v1: HMAC-SHA256 under a secret. v1a: Ed25519, verified with a public key.");
const headers = z
  .record(z.string(), z.string())
  .describe(
    "Headers that come with its callbacks. Those of HTTP itself, webhook-*, proxy-* and sec-* are reserved.",
  );
const LONGEST_WAIT_MS = 7 * 86_400_000;
const wait = z.string().transform((text, context): number => {
  const ms = parseDuration(text);
  if (ms !== undefined && ms <= LONGEST_WAIT_MS) return ms;
  context.issues.push({
    code: "custom",
    message: "must be a duration such as 5s, 30m or 2h, up to 7d",
    input: text,
  });
  return z.NEVER;
});
const schedule = z
  .array(wait.meta({ type: "string" }))
  .min(1)
  .max(50)
  .nullable()
  .describe(
    "Waits before each attempt, from the one before; their number is the number of attempts. null: the daemon's.",
  );
const params = z.strictObject({ id });

export function endpointRoutes(
  parts: Pick<HttpParts, "secretBox" | "random" | "allowPrivateTargets" | "firstDelayMs" | "wakeDeliverer">,
): readonly Route[] {
  const { allowPrivateTargets, firstDelayMs } = parts;
  const policy = { allowPrivateTargets, firstDelayMs };
  return [
    route({
      method: "POST",
      path: "/v1/endpoints",
      summary: "Make a callback endpoint. Its secret is in this answer only.",
      body: z.strictObject({
        url,
        events: events.optional(),
        signature: signature.optional(),
        headers: headers.optional(),
        schedule: schedule.optional(),
      }),
      answers: { 201: { description: "The endpoint, with its secret.", shape: newEndpointShape } },
      hasSecretAnswer: true,
      handle: async ({ caller, body, database }) => {
        const { schedule: scheduleMs, ...rest } = body;
        const wanted = {
          ...given<WantedEndpoint>({ ...rest, scheduleMs }),
          merchantId: caller.merchantId,
          url: body.url,
        };
        const { endpoint, secret } = await createEndpoint({ ...parts, database }, wanted, policy);
        return { status: 201, body: { ...endpointBody(endpoint), secret } };
      },
    }),
    route({
      method: "GET",
      path: "/v1/endpoints",
      summary: "Callback endpoints, in the order they were made.",
      query: z.strictObject(pageQuery),
      answers: { 200: { description: "A page of endpoints.", shape: pageOf(endpointShape, "EndpointPage") } },
      handle: async ({ caller, query, database }) => {
        const all = await listEndpoints(database, caller.merchantId);
        const rest = query.cursor === undefined ? all : afterCursor(all, query.cursor);
        const page = toPage(rest, query.limit, (endpoint) => ({ at: endpoint.createdAt, id: endpoint.id }));
        return { status: 200, body: { ...page, items: page.items.map(endpointBody) } };
      },
    }),
    route({
      method: "GET",
      path: "/v1/endpoints/{id}",
      summary: "One callback endpoint.",
      params,
      answers: { 200: { description: "The endpoint.", shape: endpointShape } },
      handle: async ({ caller, params: { id: endpointId }, database }) => ({
        status: 200,
        body: endpointBody(await getEndpoint(database, caller.merchantId, endpointId)),
      }),
    }),
    route({
      method: "PATCH",
      path: "/v1/endpoints/{id}",
      summary:
        "Change an endpoint: what is named, and nothing else. What was kept while it was disabled is sent when it is enabled, or skipped.",
      params,
      body: z.strictObject({
        url: url.optional(),
        events: events.optional(),
        headers: headers.optional(),
        schedule: schedule.optional(),
        status: z.enum(ENDPOINT_STATUSES).optional(),
        keptEvents: z
          .enum(["send", "skip"])
          .optional()
          .describe("With status enabled: what becomes of what was kept meanwhile. Left out: it is sent."),
      }),
      answers: { 200: { description: "The endpoint as it is now.", shape: endpointShape } },
      handle: async ({ caller, params: { id: endpointId }, body, database }) => {
        const { schedule: scheduleMs, ...changes } = body;
        if (body.keptEvents !== undefined && body.status !== "enabled")
          throw new InputError("invalid_request", "keptEvents goes with status: enabled");
        const { merchantId } = caller;
        const changed = given<EndpointChanges>({ ...changes, scheduleMs });
        const endpoint = await updateEndpoint(
          { ...parts, database },
          merchantId,
          endpointId,
          changed,
          policy,
        );
        const answer = { status: 200, body: endpointBody(endpoint) };
        return body.status === "enabled" ? { ...answer, afterwards: parts.wakeDeliverer } : answer;
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/endpoints/{id}",
      summary: "End an endpoint. What was not delivered to it will not be.",
      params,
      answers: { 204: { description: "It is gone.", shape: null } },
      handle: async ({ caller, params: { id: endpointId }, database }) => {
        await deleteEndpoint(database, caller.merchantId, endpointId);
        return { status: 204, body: undefined };
      },
    }),
  ];
}

/**
 * A merchant has a handful of endpoints, so the page is cut here and not in the database. When the one that ended
 * the page before was deleted meanwhile, those made later follow.
 */
function afterCursor(all: readonly Endpoint[], cursor: string): readonly Endpoint[] {
  const end = decodeCursor(cursor);
  const index = all.findIndex((endpoint) => endpoint.id === end.id);
  return index === -1 ? all.filter((endpoint) => endpoint.createdAt > end.at) : all.slice(index + 1);
}

/** What was named, without the keys that were not. */
function given<Shape>(body: object): Partial<Shape> {
  return Object.fromEntries(
    Object.entries(body).filter(([, value]) => value !== undefined),
  ) as Partial<Shape>;
}

export function endpointBody(endpoint: Endpoint): EndpointBody {
  return {
    id: endpoint.id,
    url: endpoint.url,
    events: EVENT_TYPES.filter((type) => endpoint.events.includes(type)),
    status: endpoint.status,
    disabledReason: endpoint.disabledReason,
    signature: endpoint.signature,
    publicKey: endpoint.publicKey,
    previousKeyUntil: endpoint.previousKeyUntil?.toISOString() ?? null,
    schedule: endpoint.scheduleMs?.map(formatDuration) ?? null,
    failingSince: endpoint.failingSince?.toISOString() ?? null,
    pausedUntil: endpoint.pausedUntil?.toISOString() ?? null,
    headers: [...endpoint.headerNames],
    createdAt: endpoint.createdAt.toISOString(),
  };
}
