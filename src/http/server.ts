/** The HTTP face: routes, errors, one log line for each request. */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { coerceError, FatalError, InputError } from "../core/errors.ts";
import type { Caller } from "../merchants/api-key-store.ts";
import { answerRequest, authenticate } from "./answer-request.ts";
import { addBodyDeadline, BODY_MS, REQUEST_MS } from "./body-deadline.ts";
import { translateFrameworkError } from "./framework-error.ts";
import { describeApi } from "./openapi.ts";
import type { HttpParts, PublicPage } from "./parts.ts";
import { PROBLEM_CONTENT_TYPE, type Problem, problemOf, problemOfError } from "./problem.ts";
import { readIdempotencyKey } from "./read-request.ts";
import type { Route } from "./route.ts";
import { addressRoutes } from "./routes/addresses.ts";
import { adminRoutes } from "./routes/admin.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { depositRoutes } from "./routes/deposits.ts";
import { endpointActionRoutes } from "./routes/endpoint-actions.ts";
import { endpointRoutes } from "./routes/endpoints.ts";
import { eventRoutes } from "./routes/events.ts";
import { addImportRoute } from "./routes/import-addresses.ts";
import { orderRoutes } from "./routes/orders.ts";
import { seenPaymentRoutes } from "./routes/seen-payments.ts";
import { addDescriptionRoutes, addServiceRoutes } from "./routes/service.ts";
import { userRoutes } from "./routes/users.ts";

export interface HttpServer {
  /** @throws {FatalError} `listen_failed` when the address cannot be had. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Takes no more, finishes what is under way. May be called again. */
  close(): Promise<void>;
}

const BODY_LIMIT_BYTES = 64 * 1024;
/** A user id of 200 characters, each as up to four percent-encoded bytes. */
const MAX_PARAM_LENGTH = 200 * 12;

export function createHttpServer(parts: HttpParts): HttpServer {
  const server = buildServer(parts);
  let closed: Promise<void> | undefined;
  return {
    listen: () => listen(server, parts),
    close: () => {
      closed ??= server.close();
      return closed;
    },
  };
}

/** The server without its socket, for tests that need none. */
export function buildServer(parts: HttpParts): FastifyInstance {
  const server = Fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    genReqId: () => parts.random.bytes(8).toString("hex"),
    forceCloseConnections: "idle",
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: BODY_MS },
    frameworkErrors: (error, request, reply) => fail(error, request, reply, parts),
    clientErrorHandler: (_error, socket) => {
      if (socket.writable) socket.end(UNREADABLE_ANSWER);
    },
  });
  server.removeContentTypeParser("text/plain");
  server.decorateRequest("caller", null);
  server.setErrorHandler((rawError, request, reply) => fail(coerceError(rawError), request, reply, parts));
  server.setNotFoundHandler(() => {
    throw new InputError("not_found", "There is nothing at this path");
  });
  server.addHook("onRequest", async (request, reply) => {
    reply.headers({ "x-request-id": request.id, "x-content-type-options": "nosniff" });
  });
  server.addHook("onResponse", async (request, reply) => logAnswer(request, reply, parts));

  const routes = parts.servesApi ? apiRoutes(parts) : [];
  addBodyDeadline(server, parts.clock);
  for (const route of routes) addRoute(server, route, parts);
  addServiceRoutes(server, parts);
  if (parts.servesApi) {
    addImportRoute(server, parts);
    for (const page of parts.pages) addPage(server, page);
    addDescriptionRoutes(server, describeApi(routes, parts.http.publicUrl));
  }
  return server;
}

function apiRoutes(parts: HttpParts): Route[] {
  return [
    ...addressRoutes(parts),
    ...depositRoutes,
    ...endpointRoutes(parts),
    ...endpointActionRoutes(parts),
    ...deliveryRoutes(parts),
    ...eventRoutes,
    ...orderRoutes(parts),
    ...seenPaymentRoutes,
    ...userRoutes,
    ...adminRoutes(parts),
  ];
}

declare module "fastify" {
  interface FastifyRequest {
    /** `null` where no key is asked for, or none was recognised. */
    caller: Caller | null;
  }
}

function addRoute(server: FastifyInstance, route: Route, parts: HttpParts): void {
  server.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    // Before the body is read: who has no key sends us no bodies.
    onRequest: async (request) => {
      request.caller = await authenticate(parts.database, request.headers.authorization);
      if (route.operatorOnly === true && !request.caller.operator)
        throw new InputError("forbidden", "This is for the keys of operators");
    },
    handler: async (request, reply) => {
      if (request.caller === null) throw new InputError("unauthorized", "The API key is missing");
      const once =
        route.method === "POST" ? readIdempotencyKey(request.headers["idempotency-key"]) : undefined;
      const answer = await answerRequest(parts, route, request.caller, request, once);
      reply.status(answer.status).header("cache-control", "no-store");
      return answer.text === null
        ? reply.send()
        : reply.type("application/json; charset=utf-8").send(answer.text);
    },
  });
}

function addPage(server: FastifyInstance, { path, answer }: PublicPage): void {
  server.get<{ Params: Record<string, string> }>(path, async ({ params }, reply) => {
    const { status, headers, body } = await answer(params);
    return reply.status(status).headers(headers).send(body);
  });
}

function fail(rawError: Error, request: FastifyRequest, reply: FastifyReply, parts: HttpParts): void {
  const error = translateFrameworkError(rawError);
  const problem = problemOfError(error);
  const fields = { error, request_id: request.id, route: routeOf(request) };
  if (problem.status === 503) parts.logger.warn("Could not answer a request", fields);
  else if (problem.status >= 500) parts.logger.error("Failed a request", fields);
  if (problem.status === 401) reply.header("www-authenticate", "Bearer");
  if (problem.status === 503) reply.header("retry-after", "1");
  sendProblem(reply, problem);
}

function sendProblem(reply: FastifyReply, problem: Problem): void {
  // As text: fastify would write an object with the route's own serializer.
  void reply.status(problem.status).type(PROBLEM_CONTENT_TYPE).send(JSON.stringify(problem));
}

/** Of the request only its shape: bodies, paths and headers may hold what is nobody's business. */
function logAnswer(request: FastifyRequest, reply: FastifyReply, parts: HttpParts): void {
  const { method } = request;
  const route = routeOf(request);
  const seconds = reply.elapsedTime / 1000;
  parts.metrics.httpRequestSeconds.observe({ method, route, status: reply.statusCode }, seconds);
  const fields = {
    method,
    route,
    status: reply.statusCode,
    duration_ms: Math.round(reply.elapsedTime * 10) / 10,
    merchant_id: request.caller?.merchantId ?? null,
    request_id: request.id,
  };
  if (route.startsWith("/v1/")) parts.logger.info("Answered request", fields);
  else parts.logger.debug("Answered request", fields);
}

/** The pattern, never the path: of paths there are as many as callers can think of. */
function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? "(none)";
}

async function listen(server: FastifyInstance, parts: HttpParts): Promise<{ host: string; port: number }> {
  const { host, port } = parts.http;
  try {
    await server.listen({ host, port });
  } catch (rawError) {
    const error = coerceError(rawError);
    throw new FatalError(
      "listen_failed",
      `Cannot listen on ${host}:${port}: ${error.message}`,
      { host, port },
      error,
    );
  }
  const [bound] = server.addresses();
  const place = typeof bound === "object" ? { host: bound.address, port: bound.port } : { host, port };
  parts.logger.info("Listening", { url: urlOf(place) });
  return place;
}

function urlOf({ host, port }: { host: string; port: number }): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

const UNREADABLE = JSON.stringify(problemOf("invalid_request", 400, "This is not an HTTP request"));
const UNREADABLE_ANSWER = [
  "HTTP/1.1 400 Bad Request",
  `content-type: ${PROBLEM_CONTENT_TYPE}`,
  `content-length: ${Buffer.byteLength(UNREADABLE)}`,
  "connection: close",
  "",
  UNREADABLE,
].join("\r\n");
