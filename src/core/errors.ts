/**
 * Every error a person may meet has a code from one list. A code is never reused for another meaning;
 * `docs/errors.md` has a line for each, and a test holds the two together.
 */
export const ERROR_CODES = [
  // what a caller of the API or the command line gave
  "invalid_request",
  "invalid_address",
  "invalid_hash",
  "invalid_amount",
  "invalid_cursor",
  "invalid_url",
  "invalid_watch_from",
  "invalid_extended_key",
  "private_key_given",
  "unauthorized",
  "forbidden",
  "not_found",
  "address_required",
  "address_taken",
  "asset_not_listed",
  "order_conflict",
  "extended_key_taken",
  "endpoint_deleted",
  "name_taken",
  "too_many_endpoints",
  "idempotency_conflict",
  "idempotency_key_required",
  "insufficient_balance",
  "payload_too_large",
  "unsupported_media_type",
  "internal",
  "listen_failed",
  // config
  "config_unreadable",
  "config_invalid",
  "secret_key_missing",
  "secret_key_wrong",
  "sender_list_unreadable",
  "sender_list_invalid",
  // database and queue
  "database_unreachable",
  "database_too_new",
  "database_too_old",
  "database_migration_changed",
  "database_migration_failed",
  "database_not_migrated",
  "embedded_database_failed",
  "queue_unreachable",
  "asset_changed",
  "token_mismatch",
  // nodes
  "node_unreachable",
  "node_rate_limited",
  "node_answer_invalid",
  "node_method_missing",
  "node_error",
  "node_on_other_branch",
  "node_range_refused",
  "wrong_chain",
  // following a chain
  "lease_lost",
  "cursor_moved",
  // reviewing held deposits
  "deposit_not_held",
  "deposit_changed",
  "review_decided",
  "operator_required",
  "second_operator_required",
  "chain_halted",
  // deposits and ledger
  "illegal_move",
  "ledger_refused",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Facts of an error: shown to operators and in logs. Never put a secret or a node's full URL here. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | bigint | null | undefined>>;

/**
 * The base of all our errors: a code, a short sentence, the facts, and whether trying again may help.
 */
export class DepositdError extends Error {
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;
  /** True when the same call may succeed later with nothing changed by a person. */
  readonly retryable: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { facts?: ErrorFacts; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.facts = options.facts ?? {};
    this.retryable = options.retryable ?? false;
  }
}

/** A caller gave something that cannot be taken. The HTTP API answers 4xx, the command line exits with 2. */
export class InputError extends DepositdError {
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(code, message, { facts });
  }
}

/** Something outside (a node, the database, the queue) did not do its part now; trying again may help. */
export class TemporaryError extends DepositdError {
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, cause?: unknown) {
    super(code, message, { facts, retryable: true, cause });
  }
}

/** Going on would be wrong until a person has looked. */
export class FatalError extends DepositdError {
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, cause?: unknown) {
    super(code, message, { facts, retryable: false, cause });
  }
}

/** Makes an `Error` of whatever was thrown. */
export function coerceError(rawError: unknown): Error {
  return rawError instanceof Error ? rawError : new Error(String(rawError));
}

export function isRetryable(error: unknown): boolean {
  return error instanceof DepositdError && error.retryable;
}
