/** A progress line on a terminal, drawn over itself; nothing where standard error is no terminal. */

const WIDTH = 30;

/** @param write to a terminal */
export function createProgress(write: (text: string) => void, isTerminal: boolean) {
  return (done: number, total: number): void => {
    if (!isTerminal) return;
    const share = total === 0 ? 1 : done / total;
    const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "·");
    write(`\r${bar} ${done} of ${total}${done >= total ? "\n" : ""}`);
  };
}
