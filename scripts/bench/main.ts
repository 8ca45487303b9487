/**
 * `npm run bench`: the speeds that matter, each beside a floor measured in the same run.
 *
 *   --only a,c   only these groups   --quick   fewer rounds, less work   --json   the report on standard output
 */
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { keepStringsFast } from "../../src/runtime/fast-strings.ts";
import { benchAddresses } from "./addresses.ts";
import { startBenchServer } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { benchCallbackFairness } from "./callback-fairness.ts";
import { benchCallbackLatency } from "./callback-latency.ts";
import { benchCallbacks } from "./callbacks.ts";
import { benchCatchUp } from "./catch-up.ts";
import { benchChainsAtHeads } from "./chains-at-heads.ts";
import { benchLatency } from "./latency.ts";
import { type Figure, toFigure } from "./measure.ts";
import { createReport, toTable } from "./report.ts";
import { benchSettle } from "./settle.ts";

const GROUPS: Readonly<Record<string, BenchGroup>> = {
  a: benchCatchUp,
  b: benchLatency,
  c: benchSettle,
  d: benchCallbacks,
  e: benchAddresses,
  f: benchChainsAtHeads,
  g: benchCallbackLatency,
  h: benchCallbackFairness,
};

const RESULTS = fileURLToPath(new URL("../../bench/results/", import.meta.url));

// As the daemon does: some groups run its parts in this process.
keepStringsFast();
process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string", default: Object.keys(GROUPS).join(",") },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const wanted = values.only.split(",");
  const unknown = wanted.filter((group) => GROUPS[group] === undefined);
  if (unknown.length > 0) {
    console.error(`There is no group ${unknown.join(", ")}; there are ${Object.keys(GROUPS).join(", ")}`);
    return 2;
  }
  const figures = await run(wanted, values.quick);
  const report = createReport(figures, values.quick, new Date());
  await mkdir(RESULTS, { recursive: true });
  const file = `${RESULTS}${report.at.replaceAll(":", "-")}.json`;
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
  console.error(`\n${toTable(report)}\n\nWritten to ${file}`);
  if (values.json) console.log(JSON.stringify(report, null, 2));
  return 0;
}

async function run(wanted: readonly string[], isQuick: boolean): Promise<Figure[]> {
  const server = await startBenchServer();
  try {
    const figures: Figure[] = [];
    for (const group of wanted) {
      const measured = await GROUPS[group]?.({ server, isQuick, say: (line) => console.error(line) });
      figures.push(...(measured ?? []).map(toFigure));
    }
    return figures;
  } finally {
    await server.stop();
  }
}
