/** All source files of a project, with their imports resolved to each other. */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { type Import, readImports } from "./imports.ts";
import { readSourceText, type SourceText } from "./source-text.ts";

export interface SourceFile {
  /** From the project's root, with `/`: `src/flow/ingest-block.ts`. */
  readonly path: string;
  readonly text: SourceText;
  readonly imports: readonly ResolvedImport[];
}

export interface ResolvedImport extends Import {
  /** The file it leads to, from the project's root; `null`: a package or a part of Node. */
  readonly target: string | null;
}

/** Made by a tool, not by us. */
const GENERATED = "src/db/generated/";

export function readSourceTree(root: string): SourceFile[] {
  const paths = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .map((path) => posix.join("src", path.replaceAll("\\", "/")))
    .filter((path) => path.endsWith(".ts") && !path.startsWith(GENERATED));
  return paths.sort().map((path) => {
    const text = readSourceText(readFileSync(join(root, path), "utf8"));
    const imports = readImports(text).map((found) => ({
      ...found,
      target: resolveTarget(path, found.specifier),
    }));
    return { path, text, imports };
  });
}

function resolveTarget(from: string, specifier: string): string | null {
  return specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier) : null;
}

/** Tests and what only they use may import everything. */
export function isTestCode(path: string): boolean {
  return path.endsWith(".test.ts") || path.startsWith("src/testing/") || path.startsWith("src/daemon-tests/");
}
