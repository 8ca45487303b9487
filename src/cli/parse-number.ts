/** Numbers among a command's arguments. */
import { InputError } from "../core/errors.ts";

/** A whole number of nine digits at most. @param path how the argument is named @throws {InputError} `invalid_request` */
export function parseNumber(text: string, path: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InputError("invalid_request", `${path} must be a number`, { path, value: text });
}
