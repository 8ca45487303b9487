/**
 * Writes what the docs say of events from the code that makes them: the examples in docs/callbacks.md and the JSON
 * Schemas in docs/schemas. `npm run docs`; a test holds the files against it.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { renderEventDocs } from "./event-docs/render.ts";

for (const [path, text] of Object.entries(await renderEventDocs(read))) {
  await mkdir(new URL("./", urlOf(path)), { recursive: true });
  await writeFile(urlOf(path), text);
}

function read(path: string): Promise<string> {
  return readFile(urlOf(path), "utf8");
}

function urlOf(path: string): URL {
  return new URL(`../${path}`, import.meta.url);
}
