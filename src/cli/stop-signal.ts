/** SIGTERM and SIGINT, for commands that run until they are told to stop. */

const STOP_SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/** The first one stops; a second one ends the process at once. @returns stops listening */
export function onStopSignal(stop: () => void): () => void {
  let isStopping = false;
  const listeners = Object.entries(STOP_SIGNALS).map(([signal, number]) => {
    const listener = () => {
      // As a shell reports a process that a signal ended.
      if (isStopping) process.exit(128 + number);
      isStopping = true;
      stop();
    };
    process.on(signal, listener);
    return { signal, listener };
  });
  return () => {
    for (const { signal, listener } of listeners) process.off(signal, listener);
  };
}
