import { expect, it } from "vitest";
import { createProgress } from "./progress.ts";

it("draws a bar over its own line, named where it is told a name, and ends the line when all is done", () => {
  const written: string[] = [];
  const progress = createProgress((text) => written.push(text), true);
  progress(50, 200, "local");
  progress(200, 200);
  expect(written[0]).toBe(`\r\u001b[2Klocal ${"█".repeat(8)}${"·".repeat(22)} 50 of 200`);
  expect(written[1]).toBe(`\r\u001b[2K${"█".repeat(30)} 200 of 200\n`);
});

it("says nothing where nobody watches", () => {
  const written: string[] = [];
  createProgress((text) => written.push(text), false)(1, 2);
  expect(written).toEqual([]);
});
