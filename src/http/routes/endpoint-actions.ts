/** What an endpoint can be asked to do: take a test event, get again what it had. */
import { z } from "zod";
import { EVENT_TYPES } from "../../core/event.ts";
import { rotateSecret } from "../../delivery/endpoint-secret-store.ts";
import { getEndpoint } from "../../delivery/endpoint-store.ts";
import { publicDeliveryId, publicEventId } from "../../delivery/public-id.ts";
import { beginReplay } from "../../delivery/replay-batches.ts";
import { getReplay, orderReplay, REPLAYED_STATES, type Replay } from "../../delivery/replay-store.ts";
import { SIGNATURE_SCHEMES } from "../../delivery/signature.ts";
import { appendEndpointEvent } from "../../outbox/endpoint-event-store.ts";
import { newEndpointShape, type ReplayBody, replayShape, testEventShape } from "../callback-answers.ts";
import { eventType, id } from "../inputs.ts";
import type { HttpParts } from "../parts.ts";
import { type Route, route } from "../route.ts";
import { endpointBody } from "./endpoints.ts";

const DEFAULT_OVERLAP_SECONDS = 86_400;
const LONGEST_OVERLAP_SECONDS = 7 * 86_400;

const params = z.strictObject({ id });
const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

export function endpointActionRoutes(
  parts: Pick<HttpParts, "random" | "secretBox" | "clock" | "wakeDeliverer">,
): readonly Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/endpoints/{id}/test",
      summary: "Send an `endpoint.test` event to this endpoint, the way of all events.",
      params,
      answers: { 202: { description: "It is on its way.", shape: testEventShape } },
      handle: async ({ caller, params: { id: endpointId }, database }) => {
        const endpoint = await getEndpoint(database, caller.merchantId, endpointId);
        const { eventId, deliveryIds } = await appendEndpointEvent(database, {
          merchantId: caller.merchantId,
          type: "endpoint.test",
          data: { endpointId: endpoint.id },
          at: new Date(parts.clock.now()),
          to: { only: endpoint.id },
        });
        const [deliveryId = ""] = deliveryIds;
        return {
          status: 202,
          afterwards: parts.wakeDeliverer,
          body: { eventId: publicEventId(eventId), deliveryId: publicDeliveryId(deliveryId) },
        };
      },
    }),
    route({
      method: "POST",
      path: "/v1/endpoints/{id}/rotate-secret",
      summary: "Give an endpoint a new key. The one before it signs too for a while.",
      params,
      body: z.strictObject({
        overlapSeconds: z
          .int()
          .min(0)
          .max(LONGEST_OVERLAP_SECONDS)
          .default(DEFAULT_OVERLAP_SECONDS)
          .describe("How long both keys sign. 0: the one before ends at once. Left out: a day."),
        signature: z.enum(SIGNATURE_SCHEMES).optional().describe("Left out: as before."),
      }),
      answers: { 200: { description: "The endpoint, with its new secret.", shape: newEndpointShape } },
      hasSecretAnswer: true,
      handle: async ({ caller: { merchantId }, params: { id: endpointId }, body, database }) => {
        const secret = await database.transaction((sql) =>
          rotateSecret(
            { ...parts, sql },
            { merchantId, id: endpointId, overlapMs: body.overlapSeconds * 1_000, scheme: body.signature },
          ),
        );
        const endpoint = await getEndpoint(database, merchantId, endpointId);
        return { status: 200, body: { ...endpointBody(endpoint), secret } };
      },
    }),
    route({
      method: "POST",
      path: "/v1/endpoints/{id}/replay",
      summary: "Send an endpoint's deliveries again: by the time, the type and what became of them.",
      params,
      body: z.strictObject({
        since: time.meta({
          description: "Events of this time and later.",
          type: "string",
          format: "date-time",
        }),
        until: time.optional().meta({
          description: "Events before this time. Left out: now.",
          type: "string",
          format: "date-time",
        }),
        types: z.array(eventType).min(1).max(EVENT_TYPES.length).optional().describe("Left out: all."),
        statuses: z
          .array(z.enum(REPLAYED_STATES))
          .min(1)
          .max(REPLAYED_STATES.length)
          .optional()
          .describe("Left out: all that are not due anyway."),
      }),
      answers: {
        202: { description: "The replay. One of many thousands goes on by itself.", shape: replayShape },
      },
      handle: async ({ caller, params: { id: endpointId }, body, database }) => {
        const endpoint = await getEndpoint(database, caller.merchantId, endpointId);
        const { since, until, types, statuses: states } = body;
        const wanted = { endpointId: endpoint.id, since, until, types, states };
        const ordered = await orderReplay(database, parts.random, wanted);
        const replay = await beginReplay(database, ordered.id);
        return { status: 202, body: replayBody(replay), afterwards: parts.wakeDeliverer };
      },
    }),
    route({
      method: "GET",
      path: "/v1/replays/{id}",
      summary: "How far a replay is.",
      params,
      answers: { 200: { description: "The replay.", shape: replayShape } },
      handle: async ({ caller, params: { id: replayId }, database }) => ({
        status: 200,
        body: replayBody(await getReplay(database, caller.merchantId, replayId)),
      }),
    }),
  ];
}

function replayBody(replay: Replay): ReplayBody {
  return {
    id: replay.id,
    endpointId: replay.endpointId,
    since: replay.since.toISOString(),
    until: replay.until.toISOString(),
    types: replay.types === null ? null : [...replay.types],
    statuses: [...replay.states],
    status: replay.finishedAt === null ? "running" : "done",
    total: replay.total,
    done: replay.done,
    createdAt: replay.createdAt.toISOString(),
    finishedAt: replay.finishedAt?.toISOString() ?? null,
  };
}
