/**
 * `POST /v1/addresses/import`: a stream of NDJSON, up to millions of lines, registered while it arrives. Not a route
 * like the others: its body is never in memory as a whole.
 */
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { ERROR_CODES, InputError } from "../../core/errors.ts";
import { type ImportFault, importAddresses } from "../../flow/import-addresses.ts";
import { authenticate } from "../answer-request.ts";
import type { HttpParts } from "../parts.ts";

export const IMPORT_PATH = "/v1/addresses/import";
export const IMPORT_TYPE = "application/x-ndjson";

/** More of them say nothing new; the count says how many there were. */
const FAULTS_SHOWN = 1_000;

export const importedShape = z
  .strictObject({
    newCount: z.int().describe("Registered now."),
    knownCount: z.int().describe("Registered to the same user before."),
    faultCount: z.int().describe("Lines that could not be taken."),
    faults: z
      .array(z.strictObject({ line: z.int(), code: z.enum(ERROR_CODES), message: z.string() }))
      .describe(`The first ${FAULTS_SHOWN} of them, each with its line, from 1.`),
  })
  .meta({ id: "ImportedAddresses" });

export function addImportRoute(server: FastifyInstance, { database }: Pick<HttpParts, "database">): void {
  // In a scope of its own: no other route takes a stream.
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(IMPORT_TYPE, (_request, payload, done) => done(null, payload));
    scope.post(IMPORT_PATH, {
      onRequest: async (request) => {
        request.caller = await authenticate(database, request.headers.authorization);
      },
      handler: async (request, reply) => {
        if (request.caller === null) throw new InputError("unauthorized", "The API key is missing");
        const body = request.body as AsyncIterable<Uint8Array> | undefined;
        if (body === undefined)
          throw new InputError("unsupported_media_type", `The body must be ${IMPORT_TYPE}`);
        const faults: ImportFault[] = [];
        const imported = await importAddresses(database, request.caller.merchantId, body, {
          onFault: (fault) => {
            if (faults.length < FAULTS_SHOWN) faults.push(fault);
          },
        });
        reply.header("cache-control", "no-store");
        return { ...imported, faults };
      },
    });
  });
}
