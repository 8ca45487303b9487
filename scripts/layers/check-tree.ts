/** All rules over all files. */
import { EXCEPTIONS, type Exception } from "./exceptions.ts";
import { checkLayers } from "./layer-rules.ts";
import { checkCode, checkPackages } from "./package-rules.ts";
import { checkCycles, checkShape } from "./shape-rules.ts";
import { readSourceTree } from "./source-tree.ts";
import type { Violation } from "./violation.ts";

export interface TreeCheck {
  readonly fileCount: number;
  /** A line each, ready to print. Empty: all is well. */
  readonly complaints: readonly string[];
}

export function checkTree(root: string, exceptions: readonly Exception[] = EXCEPTIONS): TreeCheck {
  const files = readSourceTree(root);
  const violations = [
    ...files.flatMap((file) => [
      ...checkLayers(file),
      ...checkPackages(file),
      ...checkCode(file),
      ...checkShape(file),
    ]),
    ...checkCycles(files),
  ];
  const isExcepted = (violation: Violation, { file, rule }: Exception) =>
    violation.file === file && violation.rule === rule;
  const left = violations.filter(
    (violation) => !exceptions.some((exception) => isExcepted(violation, exception)),
  );
  const idle = exceptions.filter(
    (exception) => !violations.some((violation) => isExcepted(violation, exception)),
  );
  return {
    fileCount: files.length,
    complaints: [
      ...left.map(({ file, line, rule, message }) => `${file}:${line} ${message} [${rule}]`),
      ...idle.map(
        ({ file, rule }) =>
          `${file}: the exception from [${rule}] is needed no more: take it out of scripts/layers/exceptions.ts`,
      ),
    ],
  };
}
