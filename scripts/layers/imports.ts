/** The imports of a file. `verbatimModuleSyntax` makes it plain which of them are types. */
import { lineOf, type SourceText } from "./source-text.ts";

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** `import type`: gone at run time. `import { type A }` is not: it still loads the module. */
  readonly isType: boolean;
  /** `export … from`: handed on to others. */
  readonly isReExport: boolean;
}

const FORMS = [
  { pattern: /\bimport\s+(type\s+)?[\w$*{},\s]+?\bfrom\s*(["'])/g, isReExport: false },
  { pattern: /\bimport\s*(type\s+)?(["'])/g, isReExport: false },
  { pattern: /\bimport\s*\(\s*(type\s+)?(["'])/g, isReExport: false },
  { pattern: /\bexport\s+(type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*(["'])/g, isReExport: true },
] as const;

export function readImports({ raw, code }: SourceText): Import[] {
  const found: Import[] = [];
  for (const { pattern, isReExport } of FORMS) {
    for (const match of code.matchAll(pattern)) {
      const start = match.index + match[0].length;
      const end = code.indexOf(match[2] ?? '"', start);
      found.push({
        specifier: raw.slice(start, end),
        line: lineOf(code, match.index),
        isType: match[1] !== undefined,
        isReExport,
      });
    }
  }
  return found.sort((a, b) => a.line - b.line);
}
