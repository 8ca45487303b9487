import { describe, expect, it } from "vitest";
import { type Line, splitLines } from "./split-lines.ts";

/** Lines of a text that arrives in chunks of so many bytes. */
async function linesOf(text: string, chunkBytes: number, maxBytes = 1_000) {
  const bytes = Buffer.from(text, "utf8");
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  const lines: Line[] = [];
  for await (const line of splitLines(chunks(), maxBytes)) lines.push(line);
  return lines;
}

describe("splitting a stream into lines", () => {
  it.each([1, 2, 3, 7, 100])("gives the same lines in chunks of %i bytes", async (chunkBytes) => {
    const lines = await linesOf("one\n\nzwei € 𝒳\r\nlast", chunkBytes);
    expect(lines).toEqual([
      { number: 1, text: "one", endsAt: 4 },
      { number: 2, text: "", endsAt: 5 },
      { number: 3, text: "zwei € 𝒳\r", endsAt: 20 },
      { number: 4, text: "last", endsAt: 24 },
    ]);
  });

  it("counts no line after the last line break", async () => {
    expect(await linesOf("one\n", 3)).toHaveLength(1);
    expect(await linesOf("", 3)).toEqual([]);
  });

  it("does not gather a line that is too long, and goes on after it", async () => {
    const lines = await linesOf(`${"x".repeat(11)}\n${"y".repeat(10)}\n${"z".repeat(5_000)}`, 4, 10);
    expect(lines.map(({ text }) => text)).toEqual([null, "y".repeat(10), null]);
  });
});
