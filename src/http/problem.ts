/** Errors as the API tells them: `application/problem+json` (RFC 9457) with a `code` from the one list. */
import { z } from "zod";
import { DepositdError, type ErrorCode, InputError } from "../core/errors.ts";

export const PROBLEM_CONTENT_TYPE = "application/problem+json; charset=utf-8";

export const problemShape = z
  .strictObject({
    type: z.string().describe("A URI that names the code."),
    title: z.string().describe("The code in words."),
    status: z.int(),
    code: z.string().describe("One of the list in docs/errors.md; programs go by it."),
    detail: z.string().describe("What happened, for people."),
    errors: z
      .array(z.strictObject({ path: z.string(), message: z.string() }))
      .optional()
      .describe("Every value that cannot be taken, with its place in the request."),
  })
  .meta({ id: "Problem" });

export type Problem = z.infer<typeof problemShape>;
export type ProblemFault = NonNullable<Problem["errors"]>[number];

/** 400: the request cannot be read. 422: it can, but a value in it cannot be taken. */
const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  invalid_request: 400,
  invalid_cursor: 400,
  address_required: 400,
  idempotency_key_required: 400,
  unauthorized: 401,
  forbidden: 403,
  operator_required: 403,
  not_found: 404,
  address_taken: 409,
  order_conflict: 409,
  endpoint_deleted: 409,
  name_taken: 409,
  too_many_endpoints: 409,
  idempotency_conflict: 409,
  insufficient_balance: 409,
  deposit_not_held: 409,
  deposit_changed: 409,
  review_decided: 409,
  second_operator_required: 409,
  chain_halted: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  invalid_address: 422,
  invalid_hash: 422,
  invalid_amount: 422,
  invalid_url: 422,
  invalid_watch_from: 422,
  asset_not_listed: 422,
};

/** Errors of `InputError` that are found while a request is read carry all their faults at once. */
export class RequestFaults extends InputError {
  readonly faults: readonly ProblemFault[];

  constructor(code: ErrorCode, faults: readonly ProblemFault[]) {
    super(code, faults.map((fault) => `${fault.path}: ${fault.message}`).join("; "));
    this.faults = faults;
  }
}

export function problemOf(
  code: ErrorCode,
  status: number,
  detail: string,
  errors?: readonly ProblemFault[],
): Problem {
  const words = code.replaceAll("_", " ");
  return {
    type: `urn:depositd:error:${code}`,
    title: words.charAt(0).toUpperCase() + words.slice(1),
    status,
    code,
    detail,
    ...(errors === undefined ? {} : { errors: [...errors] }),
  };
}

/** What the caller may know of an error. Of what is not the caller's doing that is only whether to try again. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof RequestFaults) {
    return problemOf(error.code, STATUS_OF[error.code] ?? 400, error.message, error.faults);
  }
  if (error instanceof InputError) return problemOf(error.code, STATUS_OF[error.code] ?? 400, error.message);
  if (error instanceof DepositdError && error.retryable) {
    return problemOf(error.code, 503, "The service cannot answer now; the same request may be sent again.");
  }
  return problemOf(
    "internal",
    500,
    "The request failed for a reason on our side; it is in the log under its request id.",
  );
}
