/** Reads what a request carries by the shapes of its route, and tells all faults at once. */
import { z } from "zod";
import { ERROR_CODES, type ErrorCode, InputError } from "../core/errors.ts";
import { type ProblemFault, RequestFaults } from "./problem.ts";
import type { Route } from "./route.ts";

export interface RawRequest {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

const nothing = z.strictObject({});

/** @throws {RequestFaults} with the reader's own code when all faults have the same one, else `invalid_request` */
export function readRequest(route: Route, raw: RawRequest): RawRequest {
  const params = (route.params ?? nothing).safeParse(raw.params);
  const query = (route.query ?? nothing).safeParse(raw.query);
  // No body is one that names nothing: who takes every default need not send the braces.
  const body = (route.body ?? z.unknown()).safeParse(raw.body === undefined ? {} : raw.body);
  const issues = [
    ...placed("path", params.error?.issues),
    ...placed("query", query.error?.issues),
    ...placed("body", body.error?.issues),
  ];
  if (issues.length > 0) throw toFaults(issues);
  return { params: params.data, query: query.data, body: body.data };
}

/** @throws {InputError} `invalid_request` for a key that no client means to send */
export function readIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === "string" && /^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw new InputError("invalid_request", "Idempotency-Key must be 1 to 255 visible ASCII characters");
}

type Issue = z.core.$ZodIssue;

function placed(place: string, issues: readonly Issue[] = []): Issue[] {
  return issues.map((issue) => ({ ...issue, path: [place, ...issue.path] }));
}

function toFaults(issues: readonly Issue[]): RequestFaults {
  const faults = issues.flatMap((issue): ProblemFault[] => {
    if (issue.code !== "unrecognized_keys") return [{ path: pathOf(issue.path), message: issue.message }];
    return issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: "is not known here" }));
  });
  const codes = new Set(issues.map(codeOf));
  const [code] = codes;
  return new RequestFaults(codes.size === 1 && code !== undefined ? code : "invalid_request", faults);
}

function codeOf(issue: Issue): ErrorCode {
  const given: unknown = issue.code === "custom" ? issue.params?.["code"] : undefined;
  return ERROR_CODES.find((code) => code === given) ?? "invalid_request";
}

function pathOf(keys: readonly PropertyKey[]): string {
  return keys.map(String).join(".");
}
