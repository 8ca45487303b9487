import { readdir, readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { renderEventDocs } from "./event-docs/render.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFile(new URL(path, root), "utf8");

test("the docs show each event as the code makes it, with its schema (else: npm run docs)", async () => {
  const files = await renderEventDocs(read);
  for (const [path, text] of Object.entries(files)) expect(await read(path), path).toBe(text);
  const kept = await readdir(new URL("docs/schemas/", root));
  expect(kept.map((name) => `docs/schemas/${name}`).sort()).toEqual(
    Object.keys(files)
      .filter((path) => path.startsWith("docs/schemas/"))
      .sort(),
  );
});
