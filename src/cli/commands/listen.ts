/**
 * `listen`: a merchant's developer gets on their own machine what an endpoint would get. It reads the feed of events
 * with an API key, from anywhere, and posts each to a local URL, signed with a secret of its own. As for an endpoint,
 * what is not taken is tried again later, and holds nothing else up.
 */
import { InputError, TemporaryError } from "../../core/errors.ts";
import { DEFAULT_EVENT_TYPES, EVENT_TYPES } from "../../core/event.ts";
import { callbackHeaders } from "../../delivery/callback-request.ts";
import { assertCallbackUrl } from "../../delivery/callback-url.ts";
import { createEgress, type Egress } from "../../delivery/egress.ts";
import { createEndpointSecret, formatEndpointSecret } from "../../delivery/endpoint-secret.ts";
import { type Decision, decide, disablesEndpoint } from "../../delivery/retry-schedule.ts";
import type { SigningKey } from "../../delivery/signature.ts";
import { systemClock } from "../../runtime/clock.ts";
import { readEnvironment } from "../../runtime/config/environment.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { CommandResult } from "../command.ts";
import { type FeedEvent, type FeedSource, readFeedPage, readFeedSource } from "../event-feed.ts";
import { EXIT } from "../exit-code.ts";
import { onStopSignal } from "../stop-signal.ts";

export interface ListenArguments {
  readonly url: string;
  readonly api: string;
  readonly key?: string;
  readonly secret?: string;
  /** A list, separated by commas. */
  readonly events?: string;
  /** From the first event there is, instead of from now on. */
  readonly fromStart?: boolean;
}

export interface ListenPace {
  /** Between two looks at the feed, or at an API that is away. */
  readonly pollMs: number;
  /** Wait before each attempt of an event; their number is the number of attempts. */
  readonly scheduleMs: readonly number[];
}

/** Somebody is looking: sooner than an endpoint would be tried again. */
const PACE: ListenPace = {
  pollMs: 500,
  scheduleMs: [0, 5, 10, 20, 30, 60, 60, 60, 60, 60].map((seconds) => seconds * 1_000),
};
const TIMEOUT_MS = 15_000;
/** Events that wait for another attempt; with so many of them the feed is not read any further. */
const MOST_WAITING = 1_000;

/** Runs until it is told to stop. @throws {InputError} for what is not as it should be @throws {TemporaryError} */
export async function listenCommand(
  given: ListenArguments,
  say: (line: string) => void,
): Promise<CommandResult> {
  const key = given.key ?? (await readEnvironment(process.cwd()))["DEPOSITD_API_KEY"];
  if (key === undefined || key === "")
    throw new InputError("unauthorized", "Give an API key with --key or in DEPOSITD_API_KEY");
  const stop = new AbortController();
  const stopListening = onStopSignal(() => stop.abort());
  const count = await listen({ ...given, key }, say, stop.signal).finally(stopListening);
  return { exitCode: EXIT.done, json: { forwarded: count }, text: `Forwarded ${count} events.` };
}

/** @returns how many events were taken by the URL */
export async function listen(
  given: ListenArguments & { readonly key: string },
  say: (line: string) => void,
  signal: AbortSignal,
  pace: ListenPace = PACE,
): Promise<number> {
  const source = readFeedSource(given.api, given.key);
  const { href: url } = assertCallbackUrl(given.url, { allowPrivateTargets: true });
  const types = readTypes(given.events);
  const secret = given.secret ?? newSecret();
  const key = { scheme: "v1", secret: readSecret(secret) } as const;
  const egress = createEgress({ allowPrivateTargets: true, clock: systemClock });
  // What is under way comes back at once.
  const endAttempts = () => void egress.destroy();
  signal.addEventListener("abort", endAttempts);
  say(`Secret: ${secret}`);
  say(`Forwarding to ${url} what comes from ${given.api}`);
  const waiting: Waiting[] = [];
  let count = 0;

  async function forward(event: FeedEvent, failedBefore: number): Promise<void> {
    const { isTaken, line, waitMs } = await attempt(egress, url, key, event, failedBefore, pace);
    if (signal.aborted && !isTaken) return;
    say(line);
    if (isTaken) count += 1;
    if (waitMs !== null)
      waiting.push({ event, failedBefore: failedBefore + 1, dueAt: systemClock.monotonic() + waitMs });
  }

  async function forwardDue(): Promise<void> {
    const now = systemClock.monotonic();
    const due = waiting.filter(({ dueAt }) => dueAt <= now);
    for (const each of due) {
      if (signal.aborted) return;
      waiting.splice(waiting.indexOf(each), 1);
      await forward(each.event, each.failedBefore);
    }
  }

  try {
    const feed = createFeedReader(source, given.fromStart === true ? null : "end", say, signal);
    while (!signal.aborted) {
      await forwardDue();
      const { items, hasMore } = waiting.length < MOST_WAITING ? await feed.next() : NOTHING;
      for (const event of items) if (!signal.aborted && types.has(event.type)) await forward(event, 0);
      if (!hasMore) await systemClock.sleep(pace.pollMs, signal);
    }
  } finally {
    signal.removeEventListener("abort", endAttempts);
    await egress.destroy();
  }
  return count;
}

/** An event that was not taken. */
interface Waiting {
  readonly event: FeedEvent;
  readonly failedBefore: number;
  readonly dueAt: number;
}

interface NextEvents {
  readonly items: readonly FeedEvent[];
  readonly hasMore: boolean;
}

const NOTHING: NextEvents = { items: [], hasMore: false };

/** Once the API has answered, it is waited for whenever it is away: its events are all there afterwards. */
function createFeedReader(
  source: FeedSource,
  from: string | null,
  say: (line: string) => void,
  signal: AbortSignal,
): { next(): Promise<NextEvents> } {
  let after = from;
  let hasAnswered = false;
  let isAway = false;
  return {
    next: async () => {
      try {
        const page = await readFeedPage(source, after, signal);
        if (isAway && !signal.aborted) say("The API answers again");
        after = page.nextAfter;
        hasAnswered = true;
        isAway = false;
        return page;
      } catch (rawError) {
        if (!(rawError instanceof TemporaryError) || !hasAnswered) throw rawError;
        if (!isAway) say(`${rawError.message}; waiting for it`);
        isAway = true;
        return NOTHING;
      }
    },
  };
}

/** One attempt, and what it says of itself. @returns `waitMs`: until the next one; `null`: there is none */
async function attempt(
  egress: Egress,
  url: string,
  key: SigningKey,
  { id, type, timestamp, data }: FeedEvent,
  failedBefore: number,
  pace: ListenPace,
): Promise<{ isTaken: boolean; line: string; waitMs: number | null }> {
  // The order of keys is that of the callback, and so are the bytes.
  const body = JSON.stringify({ type, timestamp, data });
  const headers = callbackHeaders({ id, body, keys: [key], nowMs: systemClock.now() });
  const outcome = await egress.attempt({ url, headers, body, timeoutMs: TIMEOUT_MS });
  const decision = decide(outcome, failedBefore, pace.scheduleMs, systemRandom.fraction());
  const follows = disablesEndpoint(outcome) ? ", and would disable an endpoint" : describe(decision);
  return {
    isTaken: outcome.error === null,
    line: `${id}  ${type}  ${outcome.httpStatus ?? outcome.error}  ${outcome.durationMs} ms${follows}`,
    waitMs: "waitMs" in decision ? decision.waitMs : null,
  };
}

function describe(decision: Decision): string {
  if (decision.next === "delivered") return "";
  if (decision.next === "failed") return ", given up";
  return `, again in ${Math.ceil(decision.waitMs / 1_000)} s`;
}

function readTypes(text: string | undefined): ReadonlySet<string> {
  if (text === undefined) return new Set(DEFAULT_EVENT_TYPES);
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !EVENT_TYPES.some((type) => type === name));
  if (unknown === undefined) return new Set(names);
  throw new InputError("invalid_request", `--events takes a list of: ${EVENT_TYPES.join(", ")}`, {
    path: "--events",
    value: unknown,
  });
}

/** @throws {InputError} `invalid_request`; the secret itself is not told */
function readSecret(secret: string): Buffer {
  const bytes = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  if (secret === `whsec_${bytes.toString("base64")}` && bytes.length >= 24 && bytes.length <= 64)
    return bytes;
  throw new InputError("invalid_request", "--secret must be whsec_ and 24 to 64 bytes in base64", {
    path: "--secret",
  });
}

function newSecret(): string {
  return formatEndpointSecret(createEndpointSecret(systemRandom)) ?? "";
}
