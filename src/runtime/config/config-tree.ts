/** A YAML text as a tree of plain values, with `${NAME}` and `${NAME:-default}` filled in from the environment. */
import { LineCounter, parseDocument } from "yaml";
import { type ConfigFault, type PathKeys, pathText } from "./config-path.ts";
import type { Environment } from "./environment.ts";
import { hideUrls } from "./hide-url.ts";

export interface ConfigTree {
  readonly value: unknown;
  /** Texts that hold a variable, as written, by path: they are shown in place of what the variable holds. */
  readonly templates: ReadonlyMap<string, string>;
}

/**
 * A key with nothing behind it (`tokens:`) counts as left out. What a variable gives is always text, also where
 * a number is wanted: the numbers of a config are read from text too. `$${` stands for a literal `${`.
 */
export function readTree(text: string, env: Environment): { tree: ConfigTree; faults: ConfigFault[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults: ConfigFault[] = document.errors.map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    return { path: `line ${line}, column ${col}`, message: hideUrls(error.message) };
  });
  if (faults.length > 0) return { tree: { value: undefined, templates: new Map() }, faults };

  const templates = new Map<string, string>();
  const fill = (value: unknown, path: PathKeys): unknown => {
    if (typeof value === "string") return fillText(value, path);
    if (Array.isArray(value)) return value.map((item, index) => fill(item, [...path, index]));
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).filter(([, item]) => item !== null);
    return Object.fromEntries(entries.map(([key, item]) => [key, fill(item, [...path, key])]));
  };
  const fillText = (template: string, path: PathKeys): string => {
    if (!template.includes("${")) return template;
    templates.set(pathText(path), template);
    return template.replace(
      /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g,
      (whole, name, fallback) => {
        if (whole === "$${") return "${";
        const given = env[name];
        // As in a shell, `:-` also replaces a variable that is set and empty.
        if (given !== undefined && (given !== "" || fallback === undefined)) return given;
        if (fallback !== undefined) return fallback;
        faults.push({
          path: pathText(path),
          message: `the environment variable ${name} is not set; \${${name}:-} is empty without it`,
        });
        return "";
      },
    );
  };
  return { tree: { value: fill(document.toJS(), []), templates }, faults };
}
