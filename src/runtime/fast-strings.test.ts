import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";

/** Whether V8 still keeps the methods of strings fast, in a process of its own that has run this. */
function areFastAfter(lines: readonly string[]): boolean {
  const script = [...lines, "console.log(%HasFastProperties(String.prototype))"].join("\n");
  const options = ["--allow-natives-syntax", "--import", "tsx", "--input-type=module", "--eval", script];
  return execFileSync(process.execPath, options, { encoding: "utf8" }).trim() === "true";
}

const libraries = 'await import("./src/app.ts");';
const keepFast =
  'const { keepStringsFast } = await import("./src/runtime/fast-strings.ts"); keepStringsFast();';

describe("strings in a process that loads all that the daemon loads", () => {
  it("are slow if nothing is done about it", () => {
    expect(areFastAfter([libraries])).toBe(false);
  });

  it("are fast when it is done afterwards", () => {
    expect(areFastAfter([libraries, keepFast])).toBe(true);
  });

  it("stay fast when it was done before", () => {
    expect(areFastAfter([keepFast, libraries])).toBe(true);
  });
});
