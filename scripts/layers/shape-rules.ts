/** How the tree itself may look. */
import { isTestCode, type SourceFile } from "./source-tree.ts";
import type { Violation } from "./violation.ts";

const NAMELESS_FOLDERS = new Set(["utils", "util", "helpers", "helper", "common", "shared", "misc", "lib"]);

export function checkShape(file: SourceFile): Violation[] {
  const found: Violation[] = [];
  const folder = file.path
    .split("/")
    .slice(0, -1)
    .find((part) => NAMELESS_FOLDERS.has(part));
  if (folder !== undefined) {
    found.push({
      file: file.path,
      line: 1,
      rule: "folder",
      message: `lies in ${folder}/, which says nothing: name the folder after what is in it`,
    });
  }
  if (/\/index\.ts$/.test(file.path)) {
    found.push({
      file: file.path,
      line: 1,
      rule: "barrel",
      message: "is an index: name the file after what is in it, and import it by that name",
    });
  }
  for (const { isReExport, isType, specifier, line } of file.imports) {
    if (!isReExport || isType) continue;
    found.push({
      file: file.path,
      line,
      rule: "barrel",
      message: `hands on ${specifier}: whoever needs it imports it from there`,
    });
  }
  return found;
}

/** One violation for each cycle of value imports. Types may go round: they are gone at run time. */
export function checkCycles(files: readonly SourceFile[]): Violation[] {
  const byPath = new Map(files.filter((file) => !isTestCode(file.path)).map((file) => [file.path, file]));
  const finished = new Set<string>();
  const found: Violation[] = [];

  const visit = (file: SourceFile, way: readonly string[]): void => {
    if (finished.has(file.path)) return;
    for (const { target, isType, line } of file.imports) {
      const next = isType || target === null ? undefined : byPath.get(target);
      if (next === undefined) continue;
      const here = [...way, file.path];
      const start = here.indexOf(next.path);
      if (start === -1) visit(next, here);
      else
        found.push({
          file: file.path,
          line,
          rule: "cycle",
          message: `closes the cycle ${[...here.slice(start), next.path].join(" > ")}: move what both need into a third file`,
        });
    }
    finished.add(file.path);
  };
  for (const file of byPath.values()) visit(file, []);
  return found;
}
