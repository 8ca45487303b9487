/** An error as the command line tells it: one sentence, its code, and the facts that the sentence does not hold. */
import { coerceError, DepositdError } from "../core/errors.ts";
import { ConfigInvalidError } from "../runtime/config/faults.ts";

export function errorText(rawError: unknown, options: { readonly withCauses: boolean }): string {
  const error = coerceError(rawError);
  const lines = error instanceof ConfigInvalidError ? faultLines(error) : [`depositd: ${sentence(error)}`];
  if (!options.withCauses) return lines.join("\n");
  return [
    ...lines,
    error.stack ?? "",
    ...causesOf(error).map((cause) => `caused by ${cause.stack ?? cause.message}`),
  ].join("\n");
}

export function errorJson(rawError: unknown): unknown {
  const error = coerceError(rawError);
  if (error instanceof ConfigInvalidError) {
    return {
      error: {
        code: error.code,
        message: `${String(error.facts["file"])} is not valid`,
        faults: error.faults,
      },
    };
  }
  if (!(error instanceof DepositdError)) return { error: { code: "internal", message: error.message } };
  return { error: { code: error.code, message: error.message, facts: Object.fromEntries(factsOf(error)) } };
}

function faultLines(error: ConfigInvalidError): string[] {
  const { length } = error.faults;
  return [
    `depositd: ${String(error.facts["file"])} has ${length} ${length === 1 ? "fault" : "faults"} [config_invalid]`,
    ...error.faults.map((fault) => `  ${fault.path}: ${fault.message}`),
  ];
}

function sentence(error: Error): string {
  if (!(error instanceof DepositdError)) return error.message;
  const more = factsOf(error).filter(([, value]) => !error.message.includes(value));
  const facts = more.length === 0 ? "" : ` (${more.map(([name, value]) => `${name}: ${value}`).join(", ")})`;
  return `${error.message}${facts} [${error.code}]`;
}

function factsOf(error: DepositdError): [name: string, value: string][] {
  return Object.entries(error.facts).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [[name, String(value)] as [string, string]],
  );
}

function causesOf(error: Error): Error[] {
  const causes: Error[] = [];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) causes.push(cause);
  return causes;
}
