import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { ERROR_CODES } from "./errors.ts";

test("every code has its line in docs/errors.md, and every line there its code", async () => {
  const page = await readFile(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$/gm)];
  expect(rows.map(([, code]) => code)).toEqual(ERROR_CODES);
  for (const [, code, what, remedy] of rows) {
    expect(`${code}: ${what}`).toMatch(/: [A-Z`0-9].*\.$/);
    expect(`${code}: ${remedy}`).toMatch(/: [A-Z`].*\.$/);
  }
});

test("no code stands in the list twice", () => {
  expect(new Set(ERROR_CODES).size).toBe(ERROR_CODES.length);
});
