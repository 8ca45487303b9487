/**
 * Child processes that end when this process does, however it ends: `kill -9` lets nobody tidy up, so a watcher
 * outside holds their numbers and ends them when its line to this process breaks.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * In a session of its own, or the Ctrl-C that ends this process would end the watcher first. It is told `+ pid`
 * and `- pid`; what is left at the end of its input is killed.
 */
const WATCHER = `
children=" "
while read -r sign pid; do
  case "$sign" in
    +) children="$children$pid " ;;
    -) children=$(echo "$children" | sed "s/ $pid / /") ;;
  esac
done
kill -9 $children 2>/dev/null
`;

let line: Writable | undefined;

/** Call it right after the start. */
export function endWithThisProcess(child: ChildProcess): void {
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  // Windows has no shell for the watcher; there an end without warning leaves the child behind.
  if (process.platform === "win32" || child.pid === undefined) return;
  line ??= startWatcher();
  const told = line;
  told.write(`+ ${child.pid}\n`);
  child.once("exit", () => told.write(`- ${child.pid}\n`));
}

function startWatcher(): Writable {
  const watcher = spawn("/bin/sh", ["-c", WATCHER], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  watcher.unref();
  const { stdin } = watcher;
  // Its pipe must not keep this process alive, and a watcher that is gone is no reason to fail.
  if ("unref" in stdin && typeof stdin.unref === "function") stdin.unref();
  stdin.on("error", () => undefined);
  return stdin;
}
