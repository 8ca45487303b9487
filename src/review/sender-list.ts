/**
 * A list of senders as people keep it: one address a line, or CSV with the address in its first column or in the one
 * under the header `address`. Pure.
 *
 * `#` begins a comment, at the start of a line or behind an address. Empty lines are fine. A list is taken as a whole
 * or not at all: a line that cannot be read may have been the one that mattered.
 */
import { coerceError, InputError } from "../core/errors.ts";
import { type Address, parseAddress } from "../core/hex.ts";

/** Enough to see what is wrong; a file of another kind has a fault in every line. */
const FAULTS_TOLD = 5;

/**
 * @param file for the error
 * @throws {InputError} `sender_list_invalid` with the number of each bad line; also when there is no address at all,
 * as that is what a file looks like that is just being written
 */
export function parseSenderList(text: string, file: string): Set<Address> {
  const addresses = new Set<Address>();
  const faults: string[] = [];
  let column: number | undefined;
  let lineNumber = 0;
  for (const line of text.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    lineNumber += 1;
    if (/^\s*(#|$)/.test(line)) continue;
    const cells = splitCells(line);
    if (column === undefined) {
      const header = cells.findIndex((cell) => cell.toLowerCase() === "address");
      column = Math.max(0, header);
      if (header >= 0) continue;
    }
    try {
      addresses.add(parseAddress(cells[column] ?? "", "it"));
    } catch (rawError) {
      faults.push(`line ${lineNumber}: ${coerceError(rawError).message}`);
    }
  }
  if (faults.length > 0) throw invalid(file, toldFaults(faults), faults.length);
  if (addresses.size === 0) throw invalid(file, "there is no address in it", 1);
  return addresses;
}

/** RFC 4180, within a line: a cell may stand in quotes, which are doubled in it. A comment is cut off. */
function splitCells(line: string): string[] {
  const cells: string[] = [];
  const cell = /\s*(?:"((?:[^"]|"")*)"\s*|([^,#]*))(,|#.*|$)/y;
  for (;;) {
    const [, quoted, bare = "", end = ""] = cell.exec(line) ?? [];
    cells.push((quoted?.replaceAll('""', '"') ?? bare).trim());
    if (end !== ",") return cells;
  }
}

function toldFaults(faults: readonly string[]): string {
  const rest = faults.length - FAULTS_TOLD;
  return `${faults.slice(0, FAULTS_TOLD).join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`;
}

function invalid(file: string, why: string, faultCount: number): InputError {
  return new InputError("sender_list_invalid", `The sender list ${file} cannot be taken: ${why}`, {
    file,
    faults: faultCount,
  });
}
