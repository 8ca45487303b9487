/**
 * Tells the story: a line for each thing that happens, when it happens.
 *
 *      4.31s  block 14  chain     1.5 ETH to alice
 *      4.33s  block 14  alice             1.5 ETH  pending   1 of 3 confirmations         callback 9 ms
 */
import { styleText } from "node:util";
import { systemClock } from "../../src/runtime/clock.ts";

export type Style = "dim" | "bold" | "red" | "green" | "yellow" | "magenta" | "cyan";

export interface DepositLine {
  readonly blockNumber: number;
  readonly user: string;
  readonly amount: string;
  readonly status: string;
  readonly detail: string;
  readonly callback: string;
}

export interface Narrator {
  title(text: string): void;
  /** A new scene: what it shows. */
  scene(title: string, text: string): void;
  /** Something the demo, the chain or a machine did. */
  act(actor: string, text: string, block?: string): void;
  deposit(line: DepositLine): void;
  /** Text of its own: after the story, errors. */
  text(text?: string): void;
  /** Columns that hold numbers are named, to be aligned at their end. */
  table(
    header: readonly string[],
    rows: readonly (readonly Cell[])[],
    alignedRight: ReadonlySet<number>,
  ): void;
  style(style: Style, text: string): string;
  statusCell(status: string): Cell;
}

export type Cell = string | { readonly text: string; readonly style: Style };

const STATUS_STYLES: Readonly<Record<string, Style>> = {
  pending: "yellow",
  credited: "green",
  unlocked: "green",
  ignored: "dim",
  orphaned: "magenta",
  reversed: "red",
};

const TIME_WIDTH = 7;
const BLOCK_WIDTH = 9;
const ACTOR_WIDTH = 8;
const AMOUNT_WIDTH = 15;
const STATUS_WIDTH = 8;
const DETAIL_WIDTH = 27;

/** Colours only where somebody looks at a terminal that wants them (https://no-color.org). */
export function createNarrator(output: NodeJS.WriteStream): Narrator {
  const startedAt = systemClock.monotonic();
  const hasColours = output.isTTY === true && (process.env["NO_COLOR"] ?? "") === "";
  let scenes = 0;

  const style = (name: Style, text: string) =>
    hasColours ? styleText(name, text, { validateStream: false }) : text;
  const text = (line = "") => void output.write(`${line.trimEnd()}\n`);
  const time = () => `${((systemClock.monotonic() - startedAt) / 1000).toFixed(2)}s`.padStart(TIME_WIDTH);
  const prefix = (block: string) => `${style("dim", time())}  ${block.padEnd(BLOCK_WIDTH)}`;

  return {
    style,
    text,
    statusCell: (status) => ({ text: status, style: STATUS_STYLES[status] ?? "bold" }),
    title: (title) => text(`\n${style("bold", title)}\n`),
    scene: (title, explanation) => {
      scenes += 1;
      text(`\n${style("bold", `${scenes}. ${title}`)}  ${style("dim", explanation)}`);
    },
    act: (actor, what, block = "") =>
      text(`${prefix(block)}  ${style("cyan", actor.padEnd(ACTOR_WIDTH))}  ${what}`),
    deposit: (line) =>
      text(
        [
          prefix(`block ${line.blockNumber}`),
          line.user.padEnd(ACTOR_WIDTH),
          line.amount.padStart(AMOUNT_WIDTH),
          style(STATUS_STYLES[line.status] ?? "bold", line.status.padEnd(STATUS_WIDTH)),
          line.detail.padEnd(DETAIL_WIDTH),
          style("dim", line.callback),
        ].join("  "),
      ),
    table: (header, rows, alignedRight) => {
      for (const line of layOut(header, rows, alignedRight, style)) text(`  ${line}`);
    },
  };
}

function layOut(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  alignedRight: ReadonlySet<number>,
  style: Narrator["style"],
): string[] {
  const wordsOf = (cell: Cell) => (typeof cell === "string" ? cell : cell.text);
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => wordsOf(row[column] ?? "").length)),
  );
  const pad = (cell: Cell, column: number) => {
    const width = widths[column] ?? 0;
    const words = wordsOf(cell);
    const padded = alignedRight.has(column) ? words.padStart(width) : words.padEnd(width);
    return typeof cell === "string" ? padded : style(cell.style, padded);
  };
  return [
    style("dim", header.map(pad).join("   ")),
    ...rows.map((row) => header.map((_, column) => pad(row[column] ?? "", column)).join("   ")),
  ];
}
