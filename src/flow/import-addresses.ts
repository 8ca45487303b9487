/**
 * [tx per batch] Registers addresses from a stream of lines, up to millions of them, in bounded memory.
 *
 * A line that cannot be taken is told with its number and does not stop the others. What is registered already is
 * left alone, so an import that was cut off is simply run again.
 */
import { type DepositdError, type ErrorCode, InputError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import { type Assignment, registerAddresses } from "../merchants/address-store.ts";
import { readAssignment } from "../merchants/assignment-line.ts";
import { splitLines } from "./split-lines.ts";

/** An ingest waits for the batch that is being committed, some 50 ms, and an import for an ingest. */
const LINES_PER_BATCH = 2_000;
/** 42 characters of an address, 200 of a user id with up to twelve bytes each when written as \uXXXX pairs. */
const MAX_LINE_BYTES = 4_096;

export interface ImportFault {
  /** From 1. */
  readonly line: number;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface Imported {
  /** Registered now. */
  readonly newCount: number;
  /** Registered to the same user before, in this file or earlier. */
  readonly knownCount: number;
  readonly faultCount: number;
}

export interface ImportOptions {
  readonly onFault: (fault: ImportFault) => void;
  /** After each batch: bytes that were read and are kept. */
  readonly onProgress?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

interface NumberedAssignment extends Assignment {
  readonly line: number;
}

export async function importAddresses(
  database: Database,
  merchantId: string,
  source: AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<Imported> {
  let counts: Imported = { newCount: 0, knownCount: 0, faultCount: 0 };
  let batch: NumberedAssignment[] = [];
  const fail = (fault: ImportFault) => {
    counts = { ...counts, faultCount: counts.faultCount + 1 };
    options.onFault(fault);
  };
  const commit = async (bytes: number) => {
    const { newCount, taken } = await registerAddresses(database, merchantId, batch);
    const knownCount = batch.length - newCount - taken.length;
    counts = {
      ...counts,
      newCount: counts.newCount + newCount,
      knownCount: counts.knownCount + knownCount,
    };
    for (const place of taken) fail(takenFault(batch[place]?.line ?? 0));
    batch = [];
    options.onProgress?.(bytes);
  };

  let end = 0;
  for await (const { number, text, endsAt } of splitLines(source, MAX_LINE_BYTES)) {
    options.signal?.throwIfAborted();
    end = endsAt;
    const read = text === null ? tooLong(number) : readLine(number, text);
    if (read === null) continue;
    if ("code" in read) fail(read);
    else batch.push(read);
    if (batch.length >= LINES_PER_BATCH) await commit(end);
  }
  if (batch.length > 0) await commit(end);
  options.onProgress?.(end);
  return counts;
}

function readLine(line: number, text: string): NumberedAssignment | ImportFault | null {
  try {
    const assignment = readAssignment(text);
    return assignment === null ? null : { ...assignment, line };
  } catch (rawError) {
    if (!(rawError instanceof InputError)) throw rawError;
    return faultOf(line, rawError);
  }
}

function faultOf(line: number, { code, message }: DepositdError): ImportFault {
  return { line, code, message };
}

function tooLong(line: number): ImportFault {
  return { line, code: "invalid_request", message: `The line is longer than ${MAX_LINE_BYTES} bytes` };
}

function takenFault(line: number): ImportFault {
  return { line, code: "address_taken", message: "The address is assigned to another user" };
}
