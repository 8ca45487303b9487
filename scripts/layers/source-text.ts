/** Reads TypeScript just well enough to tell code from comments, strings and regular expressions. */

export interface SourceText {
  /** As it is in the file. */
  readonly raw: string;
  /**
   * Same length, same lines, but comments are blank, and so is what stands inside quotes: what is left is code.
   * Code inside `${}` of a template stays.
   */
  readonly code: string;
}

/** After one of these a `/` begins a regular expression; after anything else it divides. */
const BEFORE_REGEX = /(?:^|[([{,;=:!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|await|yield|else))\s*$/;

export function readSourceText(raw: string): SourceText {
  const out: string[] = [];
  /** Depth of braces at which each open `${` of a template ends. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;

  const keep = (length: number) => {
    out.push(raw.slice(at, at + length));
    at += length;
  };
  const blank = (length: number) => {
    out.push(raw.slice(at, at + length).replaceAll(/[^\n]/g, " "));
    at += length;
  };
  /** The text of a template up to its end or the next `${`. */
  const template = () => {
    const length = lengthUntil(raw, at, (i) => raw[i] === "`" || raw.startsWith("${", i));
    blank(length);
    if (raw[at] === "`") return keep(1);
    templates.push(depth);
    depth += 1;
    keep(2);
  };

  while (at < raw.length) {
    const char = raw[at] ?? "";
    if (raw.startsWith("//", at)) blank(lengthUntil(raw, at, (i) => raw[i] === "\n"));
    else if (raw.startsWith("/*", at)) blank(lengthUntil(raw, at + 2, (i) => raw.startsWith("*/", i)) + 4);
    else if (char === '"' || char === "'") {
      keep(1);
      blank(lengthUntil(raw, at, (i) => raw[i] === char || raw[i] === "\n"));
      keep(1);
    } else if (char === "`") {
      keep(1);
      template();
    } else if (char === "/" && BEFORE_REGEX.test(out.join("").slice(-20))) {
      keep(1);
      blank(regexLength(raw, at));
      keep(1);
    } else if (char === "}" && templates.at(-1) === depth - 1) {
      templates.pop();
      depth -= 1;
      keep(1);
      template();
    } else {
      if (char === "{") depth += 1;
      if (char === "}") depth -= 1;
      keep(1);
    }
  }
  return { raw, code: out.join("") };
}

export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

/** How far it is from `from` to the first place that ends it; a backslash protects what follows it. */
function lengthUntil(raw: string, from: number, isEnd: (index: number) => boolean): number {
  let i = from;
  while (i < raw.length && !isEnd(i)) i += raw[i] === "\\" ? 2 : 1;
  return Math.min(i, raw.length) - from;
}

function regexLength(raw: string, from: number): number {
  let isInClass = false;
  return lengthUntil(raw, from, (i) => {
    if (raw[i] === "[") isInClass = true;
    if (raw[i] === "]") isInClass = false;
    return raw[i] === "\n" || (raw[i] === "/" && !isInClass);
  });
}
