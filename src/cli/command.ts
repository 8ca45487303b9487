/** What a command gets, and what it gives back; only `program.ts` reads arguments and prints. */
import type { LogLevel } from "../runtime/logger.ts";
import type { ExitCode } from "./exit-code.ts";

/** The options that every command takes. */
export interface GlobalOptions {
  readonly config?: string | undefined;
  readonly json: boolean;
  readonly logLevel?: LogLevel | undefined;
}

export interface CommandResult {
  readonly exitCode: ExitCode;
  /** Printed with `--json`. */
  readonly json: unknown;
  /** Printed without it: lines for people, without the last newline; empty for none. */
  readonly text: string;
}
