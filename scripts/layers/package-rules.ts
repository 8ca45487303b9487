/** Which packages, and which doors to the outside world, are for whom. */
import { lineOf } from "./source-text.ts";
import { isTestCode, type SourceFile } from "./source-tree.ts";
import type { Rule, Violation } from "./violation.ts";

interface PackageRule {
  readonly packages: RegExp;
  readonly isAllowed: (path: string) => boolean;
  /** Types of it may be named anywhere: they are gone at run time. */
  readonly areTypesFree: boolean;
  readonly instead: string;
}

const isStore = (path: string) => path.startsWith("src/db/") || path.endsWith("-store.ts");

const PACKAGE_RULES: readonly PackageRule[] = [
  {
    packages: /^viem(\/|$)/,
    isAllowed: (path) => /^src\/(core|rpc|matcher|deposits)\//.test(path),
    areTypesFree: true,
    instead: "viem is for core, rpc, matcher and deposits; everyone else gets core's own types",
  },
  {
    packages: /^(bullmq|ioredis)(\/|$)/,
    isAllowed: (path) => path.startsWith("src/runtime/queue/"),
    areTypesFree: false,
    instead: "BullMQ and Redis stay behind runtime/queue; use its Queue",
  },
  {
    packages: /^@scure\/bip32$/,
    isAllowed: (path) => path === "src/merchants/extended-key.ts",
    areTypesFree: false,
    instead: "extended keys are read in merchants/extended-key alone, where no private one passes",
  },
  {
    packages: /^uqr$/,
    isAllowed: (path) => path === "src/checkout/qr-code.ts",
    areTypesFree: false,
    instead: "QR codes are for checkout/qr-code",
  },
  {
    packages: /^(pg|@prisma\/.*)$/,
    isAllowed: isStore,
    areTypesFree: false,
    instead: "the database is for db/ and *-store.ts; put the statement into a store",
  },
];

interface CodeRule {
  readonly rule: Rule;
  readonly pattern: RegExp;
  readonly isAllowed: (path: string) => boolean;
  readonly instead: string;
}

const CODE_RULES: readonly CodeRule[] = [
  {
    rule: "sql",
    pattern: /\.query\s*[<(]|\$(?:query|execute)Raw\w*|\.prisma\b/g,
    isAllowed: isStore,
    instead: "statements are for db/ and *-store.ts; put it into a store",
  },
  {
    rule: "environment",
    pattern: /\bprocess\s*\.\s*env\b|\benv\b[^=;\n]*=\s*process\b/g,
    isAllowed: (path) => path.startsWith("src/runtime/config/"),
    instead: "the environment is read in runtime/config alone; take the value from the configuration",
  },
  {
    rule: "time",
    pattern:
      /\b(?:setTimeout|setInterval|setImmediate)\s*\(|\bDate\s*\.\s*now\b|\bnew\s+Date\s*\(\s*\)|\bperformance\s*\.\s*now\b|\bAbortSignal\s*\.\s*timeout\b|\bprocess\s*\.\s*hrtime\b/g,
    isAllowed: (path) => path === "src/runtime/clock.ts",
    instead: "the time comes through runtime/clock; take a Clock",
  },
  {
    rule: "randomness",
    pattern: /\bMath\s*\.\s*random\b|\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b|\bgetRandomValues\b/g,
    isAllowed: (path) => path.startsWith("src/runtime/"),
    instead: "randomness comes through runtime/random; take a Random",
  },
];

export function checkPackages(file: SourceFile): Violation[] {
  if (isTestCode(file.path)) return [];
  return file.imports.flatMap((found) => {
    const rule = PACKAGE_RULES.find(({ packages }) => packages.test(found.specifier));
    if (rule === undefined || rule.isAllowed(file.path) || (rule.areTypesFree && found.isType)) return [];
    return [
      {
        file: file.path,
        line: found.line,
        rule: "package" as const,
        message: `imports ${found.specifier}: ${rule.instead}`,
      },
    ];
  });
}

export function checkCode(file: SourceFile): Violation[] {
  if (isTestCode(file.path)) return [];
  const { code } = file.text;
  return CODE_RULES.filter((rule) => !rule.isAllowed(file.path)).flatMap(({ rule, pattern, instead }) =>
    [...code.matchAll(pattern)].map((match) => ({
      file: file.path,
      line: lineOf(code, match.index),
      rule,
      message: `uses ${match[0].replace(/\s*[<(]$/, "").trim()}: ${instead}`,
    })),
  );
}
