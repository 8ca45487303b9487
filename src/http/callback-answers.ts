/** What the API answers of endpoints, deliveries, replays and the feed of events, as shapes. */
import { z } from "zod";
import { EVENT_TYPES } from "../core/event.ts";
import { SIGNATURE_SCHEMES } from "../delivery/signature.ts";
import { time } from "./answers.ts";

const endpointKeys = {
  id: z.string(),
  url: z.string(),
  events: z.array(z.enum(EVENT_TYPES)),
  status: z.enum(["enabled", "disabled"]),
  disabledReason: z.string().nullable(),
  signature: z.enum(SIGNATURE_SCHEMES).describe("v1: HMAC-SHA256 under the secret. v1a: Ed25519."),
  publicKey: z.string().nullable().describe("whpk_…, to verify v1a with. null: v1."),
  previousKeyUntil: time
    .nullable()
    .describe("Until then the key before this one signs too; it may have passed."),
  schedule: z.array(z.string()).nullable().describe("Waits before each attempt. null: the daemon's own."),
  failingSince: time.nullable().describe("Since when no attempt has succeeded. null: all is well."),
  pausedUntil: time
    .nullable()
    .describe(
      "Until then nothing is sent: it was overloaded, or failed again and again. It may have passed.",
    ),
  headers: z
    .array(z.string())
    .describe("Names of the headers that come with its callbacks; values are not shown."),
  createdAt: time,
};

export const endpointShape = z.strictObject(endpointKeys).meta({ id: "Endpoint" });

export const newEndpointShape = z
  .strictObject({
    ...endpointKeys,
    secret: z.string().nullable().describe("whsec_…; shown here and never again. null: v1a, see publicKey."),
  })
  .meta({ id: "NewEndpoint" });

export type EndpointBody = z.infer<typeof endpointShape>;

const deliveryKeys = {
  id: z.string(),
  eventId: z.string().describe("The `webhook-id` of its callbacks."),
  type: z.string(),
  depositId: z.string().nullable(),
  orderId: z.string().nullable(),
  endpointId: z.string(),
  status: z
    .enum(["due", "delivered", "failed", "skipped"])
    .describe("due: it will be attempted. failed: it will not, until it is retried or replayed."),
  createdAt: time,
  nextAttemptAt: time
    .nullable()
    .describe("Not before it, and not while its endpoint is disabled or paused. null: there will be none."),
  finishedAt: time.nullable(),
};

const phaseMs = z
  .int()
  .nullable()
  .describe("null: not reached, or not needed on a connection that was kept.");

export const deliveryShape = z.strictObject(deliveryKeys).meta({ id: "Delivery" });

export const deliveryDetailShape = z
  .strictObject({
    ...deliveryKeys,
    attempts: z
      .array(
        z.strictObject({
          attempt: z.int(),
          startedAt: time,
          durationMs: z.int().describe("All of it."),
          dnsMs: phaseMs,
          connectMs: phaseMs,
          tlsMs: phaseMs,
          firstByteMs: phaseMs,
          httpStatus: z.int().nullable().describe("null: no answer came."),
          error: z.string().nullable().describe("The class of the failure. null: delivered."),
          errorCode: z.string().nullable().describe("What the system or the TLS library called it."),
          responseBody: z.string().nullable().describe("The answer, or a note in its place."),
        }),
      )
      .describe("Every recorded attempt, oldest first."),
  })
  .meta({ id: "DeliveryDetail" });

export type DeliveryBody = z.infer<typeof deliveryShape>;
export type DeliveryDetailBody = z.infer<typeof deliveryDetailShape>;

export const testEventShape = z
  .strictObject({ eventId: z.string(), deliveryId: z.string().describe("Look at it for what came of it.") })
  .meta({ id: "TestEvent" });

export const replayShape = z
  .strictObject({
    id: z.string(),
    endpointId: z.string(),
    since: time,
    until: time,
    types: z.array(z.string()).nullable().describe("null: all."),
    statuses: z.array(z.string()),
    status: z.enum(["running", "done"]),
    total: z.int().describe("Deliveries that were meant when it was ordered."),
    done: z.int().describe("Deliveries made due so far."),
    createdAt: time,
    finishedAt: time.nullable(),
  })
  .meta({ id: "Replay" });

export type ReplayBody = z.infer<typeof replayShape>;

export const feedShape = z
  .strictObject({
    items: z.array(
      z
        .strictObject({
          id: z.string().describe("The `webhook-id` of its callbacks."),
          type: z.string(),
          timestamp: time,
          data: z.record(z.string(), z.unknown()).describe("As in the callback."),
        })
        .meta({ id: "Event" }),
    ),
    nextAfter: z
      .string()
      .nullable()
      .describe("The `after` to go on with, now or later. null: there was never an event."),
    hasMore: z.boolean().describe("There is more to be read at once."),
  })
  .meta({ id: "EventPage" });
