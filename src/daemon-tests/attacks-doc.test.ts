/** `docs/attacks.md` names a test for each case, and every case that a test is named after. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
/** Sections of the page; the next to be written is added here. */
const SECTIONS = /^[A-H]/;
/** At the head of a title, or the first column of a table of titles: `A1: …`, `A12, D8: …`, `C1–C13: …`. */
const TITLE_IDS = /["'`]([A-H]\d+(?:(?:, | and |–)[A-H]\d+)*)(?:: |",)/g;
const ROW = /^\| ([A-H]\d+) \| .+ \| (.+) \|$/gm;

test("each case is proved by a test of its name in every file that the page names", () => {
  const missing = [...rows()].flatMap(([id, files]) =>
    files.filter((file) => !idsIn(file).has(id)).map((file) => `${id} in ${file}`),
  );
  expect(missing).toEqual([]);
});

test("the page has every case that a test is named after, and no gaps in its numbers", () => {
  const named = new Set(testFiles().flatMap((file) => [...idsIn(file)]));
  const told = rows();
  expect([...named].filter((id) => SECTIONS.test(id) && !told.has(id))).toEqual([]);
  const gaps = [...told.keys()].filter((id) => {
    const number = Number(id.slice(1));
    return number > 1 && !told.has(`${id.slice(0, 1)}${number - 1}`);
  });
  expect(gaps).toEqual([]);
  expect(told.size).toBeGreaterThan(50);
});

function rows(): Map<string, string[]> {
  const page = readFileSync(new URL("docs/attacks.md", ROOT), "utf8");
  return new Map(
    [...page.matchAll(ROW)].map(([, id = "", files = ""]) => [
      id,
      [...files.matchAll(/`([^`]+)`/g)].map(([, file]) => `${file}.test.ts`),
    ]),
  );
}

function idsIn(file: string): Set<string> {
  const source = readFileSync(new URL(`src/${file}`, ROOT), "utf8");
  return new Set([...source.matchAll(TITLE_IDS)].flatMap(([, ids = ""]) => idsOf(ids)));
}

/** `A12, D8` are two, `C1–C13` thirteen. */
function idsOf(text: string): string[] {
  const [first = "", last] = text.split("–");
  if (last === undefined) return text.split(/, | and /);
  const from = Number(first.slice(1));
  const count = Number(last.slice(1)) - from + 1;
  return Array.from({ length: count }, (_, index) => `${first.slice(0, 1)}${from + index}`);
}

function testFiles(): string[] {
  const all = readdirSync(new URL("src/", ROOT), { recursive: true, encoding: "utf8" });
  return all.map((file) => file.replaceAll("\\", "/")).filter((file) => file.endsWith(".test.ts"));
}
