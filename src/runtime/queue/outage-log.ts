/** Says once that the queue is away, and once that it is back, however many calls notice it. */
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";

export interface OutageLog {
  begin(error: Error): void;
  /** For an error that may be of any kind: a lost connection begins an outage, anything else is only logged. */
  note(error: Error): void;
  end(): void;
  isOn(): boolean;
}

/** One broken connection of several: what fails and what succeeds alternate for a moment. That is one outage. */
const SAME_OUTAGE_MS = 10_000;

export function createOutageLog(logger: Logger, clock: Clock): OutageLog {
  let isOn = false;
  let isTold = false;
  let endedAt = Number.NEGATIVE_INFINITY;
  const begin = (error: Error) => {
    if (isOn) return;
    isOn = true;
    isTold = clock.monotonic() - endedAt >= SAME_OUTAGE_MS;
    if (!isTold) return;
    logger.warn("Lost the queue; work is found by sweeps until it is back", { reason: reasonOf(error) });
  };
  return {
    begin,
    note: (error) => {
      if (isLostConnection(error)) begin(error);
      else logger.warn("The queue reported an error", { reason: reasonOf(error) });
    },
    end: () => {
      if (!isOn) return;
      isOn = false;
      endedAt = clock.monotonic();
      if (isTold) logger.info("Found the queue again");
    },
    isOn: () => isOn,
  };
}

/** Only its words: an error of a Redis client carries the command it belongs to, and that may be AUTH. */
function reasonOf(error: Error): string {
  return error.message || codeOf(error);
}

/** Codes of the system, SQLSTATEs of a server that is not there, and what the clients say without a code. */
function isLostConnection(error: Error): boolean {
  return (
    /^(E[A-Z_]+|08...|53...|57P..)$/.test(codeOf(error)) ||
    /connection|connect |socket|stream isn't writeable|timeout|timed out|LOADING|READONLY/i.test(
      error.message,
    )
  );
}

function codeOf(error: Error): string {
  return String((error as { code?: unknown }).code ?? "");
}
