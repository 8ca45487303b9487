/**
 * A progress line on a terminal, drawn over itself; nothing where standard error is no terminal.
 *
 * Other lines may be written between two of its own (a log): each drawing begins by clearing its line, so that a bar
 * never stands in the middle of a sentence for longer than until the next drawing.
 */

const WIDTH = 30;
const CLEAR_LINE = "\r\u001b[2K";

export type Progress = (done: number, total: number, label?: string) => void;

/** @param write to a terminal */
export function createProgress(write: (text: string) => void, isTerminal: boolean): Progress {
  return (done, total, label = ""): void => {
    if (!isTerminal) return;
    const share = total === 0 ? 1 : Math.min(1, done / total);
    const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "·");
    const end = done >= total ? "\n" : "";
    write(`${CLEAR_LINE}${label === "" ? "" : `${label} `}${bar} ${done} of ${total}${end}`);
  };
}
