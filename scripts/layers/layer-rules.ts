/** Who may import whom. */
import { isTestCode, type ResolvedImport, type SourceFile } from "./source-tree.ts";
import type { Violation } from "./violation.ts";

/** Values are imported only rightwards, that is from a later row. Each row is one layer. */
const LAYERS = ["cli", "app", "faces", "flow", "stages", "db", "runtime", "core"] as const;
type Layer = (typeof LAYERS)[number];

/** For programs, and for payers. They know nothing of each other. */
const FACES = ["http", "checkout"] as const;
type Face = (typeof FACES)[number];

/**
 * The way of the data. Stages never import each other's values, and types only from an earlier stage. `merchants`
 * stands before them all: whose an address is, is known before anything is looked for. `audit` stands behind them:
 * what operators did to any of it.
 */
const STAGES = [
  "merchants",
  "rpc",
  "scanner",
  "matcher",
  "deposits",
  "confirmations",
  "review",
  "ledger",
  "orders",
  "outbox",
  "delivery",
  "audit",
] as const;
type Stage = (typeof STAGES)[number];

interface Place {
  readonly layer: Layer;
  readonly stage: Stage | null;
  readonly face: Face | null;
}

export function findPlace(path: string): Place | null {
  const [, first = "", ...rest] = path.split("/");
  // Files directly in src/ are the composition root and its parts.
  if (rest.length === 0)
    return /^app(-[\w-]+)?\.ts$/.test(first) ? { layer: "app", stage: null, face: null } : null;
  const stage = STAGES.find((name) => name === first);
  if (stage !== undefined) return { layer: "stages", stage, face: null };
  const face = FACES.find((name) => name === first);
  if (face !== undefined) return { layer: "faces", stage: null, face };
  const layer = LAYERS.find((name) => name === first && !["stages", "faces", "app"].includes(name));
  return layer === undefined ? null : { layer, stage: null, face: null };
}

export function checkLayers(file: SourceFile): Violation[] {
  if (isTestCode(file.path)) return [];
  const place = findPlace(file.path);
  if (place === null) {
    return [
      violation(
        file,
        1,
        "layer",
        "has no layer: move it into a folder of one, or give its folder a row in LAYERS or STAGES",
      ),
    ];
  }
  return file.imports.flatMap((found) => checkImport(file, place, found));
}

function checkImport(file: SourceFile, from: Place, found: ResolvedImport): Violation[] {
  const { target } = found;
  if (target === null || target.startsWith("src/db/generated/")) return [];
  const report = (rule: "layer" | "stage", why: string) => [
    violation(file, found.line, rule, `imports ${target}: ${why}`),
  ];
  if (!target.startsWith("src/")) return report("layer", "it is outside src/; the program must not need it");
  if (isTestCode(target)) return report("layer", "it is for tests only; the program must not need it");
  const to = findPlace(target);
  if (to === null) return [];
  const distance = LAYERS.indexOf(to.layer) - LAYERS.indexOf(from.layer);
  if (distance < 0) {
    return report(
      "layer",
      `${from.face ?? from.layer} may not know ${to.face ?? to.layer}; pass what it needs in, or move it rightwards`,
    );
  }
  if (from.face !== to.face && from.layer === to.layer)
    return report("layer", `${from.face} may not know ${to.face}; app brings the two together`);
  if (from.stage === null || to.stage === null || from.stage === to.stage) return [];
  if (!found.isType) {
    return report("stage", "stages never import each other's values; let flow/ bring the two together");
  }
  if (STAGES.indexOf(to.stage) > STAGES.indexOf(from.stage)) {
    return report(
      "stage",
      `${to.stage} comes after ${from.stage}; a type comes from an earlier stage or from core`,
    );
  }
  return [];
}

function violation(file: SourceFile, line: number, rule: "layer" | "stage", message: string): Violation {
  return { file: file.path, line, rule, message };
}
