/**
 * Logs: one JSON line each, a constant sentence in the past tense and fields in snake_case
 * (`"Ingested block" { chain_id, block_number, transfer_count, duration_ms }`).
 */
import pino from "pino";

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(sentence: string, fields?: LogFields): void;
  info(sentence: string, fields?: LogFields): void;
  warn(sentence: string, fields?: LogFields): void;
  error(sentence: string, fields?: LogFields): void;
  /** Whether such lines are written: for those whose fields cost something to gather. */
  writes(level: Exclude<LogLevel, "silent">): boolean;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Writes to standard error, so that a command's own answer on standard output stays clean. */
export function createLogger(level: LogLevel): Logger {
  return wrap(
    pino(
      {
        level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        serializers: { error: describeError },
        formatters: { level: (label) => ({ level: label }) },
      },
      pino.destination({ fd: 2, sync: true }),
    ),
  );
}

export const silentLogger: Logger = createLogger("silent");

function wrap(logger: pino.Logger): Logger {
  // A line that nobody reads costs nothing.
  const at =
    (level: Exclude<LogLevel, "silent">) =>
    (sentence: string, fields: LogFields = {}): void => {
      if (logger.isLevelEnabled(level)) logger[level](plain(fields), sentence);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    writes: (level) => logger.isLevelEnabled(level),
    with: (fields) => wrap(logger.child(plain(fields))),
  };
}

/**
 * What of an error may be logged. Libraries hang their own objects on errors (a connection, a request, options
 * with credentials in them), so only what is named here is taken.
 */
function describeError(rawError: unknown): unknown {
  if (!(rawError instanceof Error)) return rawError;
  const { code, facts } = rawError as { code?: unknown; facts?: unknown };
  return {
    type: rawError.name,
    message: rawError.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof facts === "object" && facts !== null ? { facts: plain(facts as LogFields) } : {}),
    stack: rawError.stack,
    ...(rawError.cause instanceof Error ? { cause: describeError(rawError.cause) } : {}),
  };
}

/** JSON has no bigint; block numbers and amounts are written as text. Most lines hold none, and are left as they are. */
function plain(fields: LogFields): LogFields {
  if (Object.values(fields).every((value) => typeof value !== "bigint")) return fields;
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === "bigint" ? value.toString() : value,
    ]),
  );
}
