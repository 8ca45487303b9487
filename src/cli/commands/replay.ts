/** `replay`: an endpoint's deliveries again, by time, type and what became of them. Works beside the daemon. */
import { InputError } from "../../core/errors.ts";
import { EVENT_TYPES } from "../../core/event.ts";
import { finishReplay } from "../../delivery/replay-batches.ts";
import {
  orderReplay,
  REPLAYED_STATES,
  type Replay,
  type ReplayedState,
  type WantedReplay,
} from "../../delivery/replay-store.ts";
import { systemClock } from "../../runtime/clock.ts";
import { parseDuration } from "../../runtime/config/duration.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";
import { withDatabase } from "../with-database.ts";

export interface ReplayArguments {
  readonly endpoint: string;
  readonly since: string;
  readonly until?: string;
  /** A list, separated by commas; and so for the next. */
  readonly status?: string;
  readonly type?: string;
}

/** @param onProgress for a terminal @throws {InputError} `invalid_request`, `not_found` */
export async function replayCommand(
  options: GlobalOptions,
  given: ReplayArguments,
  onProgress: (done: number, total: number) => void,
): Promise<CommandResult> {
  const wanted = readArguments(given);
  const replay = await withDatabase(await setUp(options), async (database) => {
    let last: Replay = await orderReplay(database, systemRandom, wanted);
    await finishReplay(database, last.id, (replay) => {
      last = replay;
      onProgress(replay.done, Math.max(replay.done, replay.total));
    });
    return last;
  });
  const { id, endpointId, done, since, until, states, types } = replay;
  return {
    exitCode: EXIT.done,
    json: {
      replayId: id,
      endpointId,
      since: since.toISOString(),
      until: until.toISOString(),
      statuses: states,
      types,
      deliveries: done,
    },
    text: `${done} deliveries to ${endpointId} are due again.`,
  };
}

function readArguments(given: ReplayArguments): WantedReplay {
  return {
    endpointId: given.endpoint,
    since: readTime(given.since, "--since"),
    until: given.until === undefined ? undefined : readTime(given.until, "--until"),
    states: readList<ReplayedState>(given.status, REPLAYED_STATES, "--status"),
    types: readList(given.type, EVENT_TYPES, "--type"),
  };
}

/** A time (RFC 3339), or how long ago. */
function readTime(text: string, path: string): Date {
  const agoMs = parseDuration(text);
  if (agoMs !== undefined) return new Date(systemClock.now() - agoMs);
  if (/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text)) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime())) return time;
  }
  throw new InputError(
    "invalid_request",
    `${path} must be a time such as 2026-11-24T06:00:00Z, or how long ago, such as 6h`,
    { path, value: text },
  );
}

function readList<Choice extends string>(
  text: string | undefined,
  choices: readonly Choice[],
  path: string,
): Choice[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !choices.some((choice) => choice === name));
  if (unknown === undefined) return choices.filter((choice) => names.includes(choice));
  throw new InputError("invalid_request", `${path} takes a list of: ${choices.join(", ")}`, {
    path,
    value: unknown,
  });
}
