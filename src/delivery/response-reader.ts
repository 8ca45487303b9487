/**
 * Keeps what an endpoint answered, for the attempt's log: at most 64 kB of text, and a note in place of more,
 * so that no answer can make a log row that the database refuses.
 */
import type { IncomingHttpHeaders } from "undici/types/header.d.ts";

/** By size after decompression: identity encoding is asked for, and an encoded answer is not unpacked at all. */
const MAX_RESPONSE_BYTES = 65_536;

export interface ResponseReader {
  take(chunk: Buffer): void;
  /** No more is wanted: the connection may as well be closed. */
  isFull(): boolean;
  text(isCutShort: boolean): string;
}

export function createResponseReader(headers: IncomingHttpHeaders): ResponseReader {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let note = noteFromHeaders(headers);

  return {
    take: (chunk) => {
      if (note !== null) return;
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > MAX_RESPONSE_BYTES) note = `(not kept: longer than ${MAX_RESPONSE_BYTES} bytes)`;
    },
    isFull: () => note !== null,
    text: (isCutShort) => note ?? toText(Buffer.concat(chunks)) + (isCutShort ? " (cut short)" : ""),
  };
}

function noteFromHeaders(headers: IncomingHttpHeaders): string | null {
  const encoding = headers["content-encoding"]?.toString() ?? "identity";
  if (encoding.trim().toLowerCase() !== "identity")
    return "(not kept: compressed, although identity was asked for)";
  const length = Number(headers["content-length"]);
  return length > MAX_RESPONSE_BYTES ? `(not kept: ${length} bytes long)` : null;
}

/** PostgreSQL's text takes any character but NUL. */
function toText(bytes: Buffer): string {
  return bytes.toString("utf8").replaceAll("\0", "\uFFFD");
}
