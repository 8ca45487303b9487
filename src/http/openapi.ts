/** The API's description, OpenAPI 3.1, made of the same routes and shapes that answer requests. */
import { z } from "zod";
import { EVENT_TYPES, type EventType } from "../core/event.ts";
import { VERSION } from "../runtime/version.ts";
import { eventShape } from "./event-shapes.ts";
import { problemShape } from "./problem.ts";
import type { Route } from "./route.ts";
import { IMPORT_PATH, IMPORT_TYPE, importedShape } from "./routes/import-addresses.ts";

type Json = Record<string, unknown>;

const IDEMPOTENCY_PARAMETER: Json = {
  name: "Idempotency-Key",
  in: "header",
  description:
    "The same request under the same key is answered again, not done again. Kept for a day at least.",
  schema: { type: "string", minLength: 1, maxLength: 255 },
};

export function describeApi(routes: readonly Route[], publicUrl: string): Json {
  const components = new Map<string, unknown>();
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] = {
      ...paths[route.path],
      [route.method.toLowerCase()]: describeRoute(route, components),
    };
  }
  // The one that every route shares.
  schemaOf(problemShape, "output", components);
  paths[IMPORT_PATH] = { post: describeImport(components) };
  return {
    openapi: "3.1.0",
    info: {
      title: "depositd",
      version: VERSION,
      description:
        "Deposits to watched addresses. Amounts are text, times RFC 3339 UTC, errors application/problem+json.",
    },
    servers: [{ url: publicUrl }],
    security: [{ apiKey: [] }],
    paths: { ...paths, ...SERVICE_PATHS },
    webhooks: Object.fromEntries(EVENT_TYPES.map((type) => [type, describeCallback(type, components)])),
    components: {
      securitySchemes: {
        apiKey: {
          type: "http",
          scheme: "bearer",
          description: "Of `depositd merchant create` or `key create`.",
        },
      },
      schemas: Object.fromEntries([...components].sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

function describeRoute(route: Route, components: Map<string, unknown>): Json {
  const parameters = [
    ...parametersOf(route.params, "path", components),
    ...parametersOf(route.query, "query", components),
    ...(route.method === "POST" ? [IDEMPOTENCY_PARAMETER] : []),
  ];
  const answers = Object.entries(route.answers).map(([status, { description, shape }]) => [
    status,
    { description, ...(shape === null ? {} : { content: content(schemaOf(shape, "output", components)) }) },
  ]);
  return {
    summary: route.summary,
    ...(route.operatorOnly === true ? { description: "For the keys of operators alone." } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !route.body.safeParse({}).success,
            content: content(schemaOf(route.body, "input", components)),
          },
        }),
    responses: { ...Object.fromEntries(answers), default: PROBLEM_ANSWER },
  };
}

function describeCallback(type: EventType, components: Map<string, unknown>): Json {
  return {
    post: {
      summary: `A callback of ${type}, signed as Standard Webhooks 1.0.`,
      security: [],
      requestBody: { required: true, content: content(schemaOf(eventShape(type), "output", components)) },
      responses: { "2XX": { description: "Taken. Anything else is tried again." } },
    },
  };
}

function describeImport(components: Map<string, unknown>): Json {
  return {
    summary:
      "Register addresses, up to millions: one { address, userId } a line. Run it again to go on where it was cut off.",
    requestBody: {
      required: true,
      content: { [IMPORT_TYPE]: { schema: { type: "string", description: "NDJSON." } } },
    },
    responses: {
      200: {
        description: "Every line was read.",
        content: content(schemaOf(importedShape, "output", components)),
      },
      default: PROBLEM_ANSWER,
    },
  };
}

const PROBLEM_ANSWER: Json = {
  description: "A problem; its code says which.",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

function content(schema: Json): Json {
  return { "application/json": { schema } };
}

function parametersOf(
  shape: z.ZodType | undefined,
  place: "path" | "query",
  components: Map<string, unknown>,
): Json[] {
  if (shape === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(shape, "input", components) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema,
  }));
}

/** Shapes with an `id` go to the components and are referred to. */
function schemaOf(shape: z.ZodType, direction: "input" | "output", components: Map<string, unknown>): Json {
  const schema = z.toJSONSchema(shape, {
    io: direction,
    override: ({ jsonSchema }) => {
      // Answers may grow: a client that refuses unknown keys would break on every addition.
      if (direction === "output") delete jsonSchema.additionalProperties;
      // `format: date-time` says it; the pattern is 300 characters of leap years.
      if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
    },
  });
  const {
    $schema: _,
    $defs,
    ...rest
  } = JSON.parse(JSON.stringify(schema).replaceAll("#/$defs/", "#/components/schemas/")) as Json;
  for (const [name, definition] of Object.entries(($defs ?? {}) as Json)) components.set(name, definition);
  if (typeof rest["id"] !== "string" || direction === "input") return rest;
  const { id, ...named } = rest;
  components.set(String(id), named);
  return { $ref: `#/components/schemas/${String(id)}` };
}

const page = (summary: string, type: string, statuses: Record<string, string>): Json => ({
  get: {
    summary,
    security: [],
    responses: Object.fromEntries(
      Object.entries(statuses).map(([status, description]) => [
        status,
        { description, content: { [type]: {} } },
      ]),
    ),
  },
});

const PAYER_STATUSES = { 200: "The order.", 404: "There is no such order." };

const forPayer = (described: Json): Json => ({
  ...described,
  parameters: [{ name: "id", in: "path", required: true, schema: { type: "string" } }],
});

const SERVICE_PATHS: Json = {
  "/healthz": page("The process is alive.", "application/json", { 200: "It is." }),
  "/readyz": page("Every part, with what holds it back.", "application/json", {
    200: "Ready.",
    503: "Not ready.",
  }),
  "/metrics": page("Metrics for Prometheus.", "text/plain", { 200: "The metrics." }),
  "/schemas/{type}.json": {
    get: {
      summary: "JSON Schema of an event's body.",
      security: [],
      parameters: [
        { name: "type", in: "path", required: true, schema: { type: "string", enum: [...EVENT_TYPES] } },
      ],
      responses: { 200: { description: "The schema.", content: { "application/schema+json": {} } } },
    },
  },
  "/pay/{id}": forPayer(page("The page of an order, for its payer.", "text/html", PAYER_STATUSES)),
  "/pay/{id}/state": forPayer(page("What that page shows.", "application/json", PAYER_STATUSES)),
  "/openapi.json": page("This description.", "application/json", { 200: "OpenAPI 3.1." }),
};
