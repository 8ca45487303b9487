/**
 * Keeps what an endpoint answered, for the attempt's log: at most 64 kB of text, and a note in place of more,
 * so that no answer can make a log row that the database refuses.
 */
import type { IncomingHttpHeaders } from "undici/types/header.d.ts";

/** By size after decompression: identity encoding is asked for, and an encoded answer is not unpacked at all. */
const MAX_RESPONSE_BYTES = 65_536;

export class ResponseReader {
  private readonly chunks: Buffer[] = [];
  private bytes = 0;
  private note: string | null;

  constructor(headers: IncomingHttpHeaders) {
    this.note = noteFromHeaders(headers);
  }

  take(chunk: Buffer): void {
    if (this.note !== null) return;
    this.bytes += chunk.length;
    this.chunks.push(chunk);
    if (this.bytes > MAX_RESPONSE_BYTES) this.note = `(not kept: longer than ${MAX_RESPONSE_BYTES} bytes)`;
  }

  /** No more is wanted: the connection may as well be closed. */
  isFull(): boolean {
    return this.note !== null;
  }

  text(isCutShort: boolean): string {
    const text = this.bytes === 0 ? "" : toText(Buffer.concat(this.chunks));
    return this.note ?? text + (isCutShort ? " (cut short)" : "");
  }
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
