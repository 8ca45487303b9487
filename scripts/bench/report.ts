/** How figures are shown: JSON for programs, a table for people. */
import { arch, cpus, platform, totalmem } from "node:os";
import type { Figure } from "./measure.ts";

export interface Report {
  readonly at: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly platform: string;
    readonly node: string;
  };
  readonly isQuick: boolean;
  readonly figures: readonly Figure[];
}

export function createReport(figures: readonly Figure[], isQuick: boolean, at: Date): Report {
  return {
    at: at.toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      platform: `${platform()} ${arch()}`,
      node: process.version,
    },
    isQuick,
    figures,
  };
}

const COLUMNS: readonly (readonly [title: string, read: (figure: Figure) => string])[] = [
  ["", ({ group }) => `(${group})`],
  ["what", ({ name }) => name],
  ["median", ({ value, unit }) => `${number(value)} ${unit}`],
  ["lowest … highest", ({ spread }) => `${number(spread[0])} … ${number(spread[1])}`],
  ["floor", ({ floor }) => number(floor.value)],
  ["of the floor", ({ ratio }) => number(ratio)],
  [
    "target",
    ({ target }) => (target === undefined ? "" : `${target.text}: ${target.isMet ? "met" : "MISSED"}`),
  ],
];

export function toTable(report: Report): string {
  const rows = [
    COLUMNS.map(([title]) => title),
    ...report.figures.map((figure) => COLUMNS.map(([, read]) => read(figure))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const floors = [...new Set(report.figures.map((figure) => `  (${figure.group}) ${figure.floor.name}`))];
  const { machine } = report;
  return [
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node}`,
    ...(report.isQuick ? ["--quick: these figures only show that it runs"] : []),
    "",
    ...lines,
    "",
    "Floors, measured in the same run:",
    ...floors,
  ].join("\n");
}

function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(value);
}
