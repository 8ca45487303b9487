/** Says when the config file may have changed. A hint: whoever listens reads it again and compares. */
import { watch } from "chokidar";

/**
 * Watches the file, also where an editor puts a new one in its place, and SIGHUP (for file systems that tell of
 * nothing, such as some mounts).
 *
 * @returns ends the watch
 */
export function watchConfig(file: string, onHint: () => void): () => Promise<void> {
  const watcher = watch(file, {
    ignoreInitial: true,
    awaitWriteFinish: { stabilityThreshold: 200, pollInterval: 50 },
  });
  watcher.on("all", onHint);
  // What changed before it was ready, it does not tell.
  watcher.on("ready", onHint);
  process.on("SIGHUP", onHint);
  return async () => {
    process.off("SIGHUP", onHint);
    await watcher.close();
  };
}
