/** Cuts a stream of bytes into lines, in bounded memory: a line without end is not gathered. */

export interface Line {
  /** From 1. */
  readonly number: number;
  /** UTF-8 without its line break; `null` when it is longer than may be. */
  readonly text: string | null;
  /** Bytes of the stream up to the end of the line. */
  readonly endsAt: number;
}

const LINE_BREAK = 10;

/** The last line counts whether or not it ends with a line break. */
export async function* splitLines(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Line, void, undefined> {
  let number = 0;
  let readBytes = 0;
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  const keep = (part: Uint8Array) => {
    restBytes += part.length;
    if (restBytes <= maxBytes) rest.push(part);
    else rest = [];
  };
  const take = (endsAt: number): Line => {
    number += 1;
    const text = restBytes > maxBytes ? null : Buffer.concat(rest).toString("utf8");
    rest = [];
    restBytes = 0;
    return { number, text, endsAt };
  };

  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_BREAK); end >= 0; end = chunk.indexOf(LINE_BREAK, start)) {
      keep(chunk.subarray(start, end));
      start = end + 1;
      yield take(readBytes + start);
    }
    if (start < chunk.length) keep(chunk.subarray(start));
    readBytes += chunk.length;
  }
  if (restBytes > 0) yield take(readBytes);
}
