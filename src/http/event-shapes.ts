/** Bodies of callbacks, by event type: the source of their JSON Schemas, of the feed's and of the docs' examples. */
import { z } from "zod";
import {
  DEPOSIT_EVENT_TYPES,
  EVENT_TYPES,
  type EventType,
  ORDER_EVENT_TYPES,
  SEEN_EVENT_TYPE,
} from "../core/event.ts";
import { depositShape, orderShape, seenPaymentShape, time } from "./answers.ts";

const testData = z.strictObject({ endpointId: z.string() });

const disabledData = z.strictObject({
  endpointId: z.string().describe("The endpoint that is disabled; another one than this callback came to."),
  url: z.string(),
  reason: z
    .enum(["gone", "failing"])
    .describe("gone: it answered 410. failing: its attempts failed for days."),
  failingSince: time
    .nullable()
    .describe("Since when none of its attempts had succeeded. null: the last one before had."),
});

/** The body of a callback of this type. */
export function eventShape(type: EventType) {
  return z.strictObject({
    type: z.literal(type),
    timestamp: time.describe("When it happened, whenever the callback comes. RFC 3339, UTC."),
    data: dataShape(type),
  });
}

function dataShape(type: EventType): z.ZodType {
  if (DEPOSIT_EVENT_TYPES.some((each) => each === type)) return depositShape;
  if (ORDER_EVENT_TYPES.some((each) => each === type)) return orderShape;
  if (type === SEEN_EVENT_TYPE) return seenPaymentShape;
  return type === "endpoint.disabled" ? disabledData : testData;
}

/** JSON Schema (2020-12). Keys may be added to bodies, so no key is forbidden. */
export function eventSchema(type: EventType): Record<string, unknown> {
  const schema = z.toJSONSchema(eventShape(type), {
    io: "output",
    override: ({ jsonSchema }) => {
      delete jsonSchema.additionalProperties;
      // `format: date-time` says it; the pattern is 300 characters of leap years.
      if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
    },
  });
  const { $schema, ...rest } = schema;
  return { $schema, title: type, ...rest };
}

/** `undefined` for a type that there is not. */
export function findEventSchema(name: string): Record<string, unknown> | undefined {
  const type = EVENT_TYPES.find((each) => each === name);
  return type === undefined ? undefined : eventSchema(type);
}
