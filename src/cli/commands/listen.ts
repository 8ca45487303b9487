/**
 * `listen`: a merchant's developer gets on their own machine what an endpoint would get. It reads the feed of events
 * with an API key, from anywhere, and posts each to a local URL, signed with a secret of its own.
 */
import type { z } from "zod";
import { InputError, TemporaryError } from "../../core/errors.ts";
import { DEFAULT_EVENT_TYPES, EVENT_TYPES } from "../../core/event.ts";
import { callbackHeaders } from "../../delivery/callback-request.ts";
import { createEgress, type Egress } from "../../delivery/egress.ts";
import { createEndpointSecret, formatEndpointSecret } from "../../delivery/endpoint-secret.ts";
import { feedShape } from "../../http/answers.ts";
import { systemClock } from "../../runtime/clock.ts";
import { readEnvironment } from "../../runtime/config/environment.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { CommandResult } from "../command.ts";
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

const POLL_MS = 500;
const TIMEOUT_MS = 15_000;

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

/** @returns how many events were forwarded */
export async function listen(
  given: ListenArguments & { readonly key: string },
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  for (const url of [given.url, given.api])
    if (!URL.canParse(url)) throw new InputError("invalid_url", `${url} is not a URL`, { url });
  const types = readTypes(given.events);
  const secret = given.secret ?? newSecret();
  const key = { scheme: "v1", secret: Buffer.from(secret.replace(/^whsec_/, ""), "base64") } as const;
  const egress = createEgress({ allowPrivateTargets: true, clock: systemClock });
  say(`Secret: ${secret}`);
  say(`Forwarding to ${given.url} what comes from ${given.api}`);
  let after = given.fromStart === true ? undefined : "end";
  let count = 0;
  try {
    while (!signal.aborted) {
      const page = await readFeed(given.api, given.key, after, signal);
      after = page.nextAfter ?? undefined;
      for (const event of page.items) {
        if (signal.aborted) break;
        if (!types.has(event.type)) continue;
        say(await forward(egress, given.url, key, event));
        count += 1;
      }
      if (!page.hasMore) await systemClock.sleep(POLL_MS, signal);
    }
  } finally {
    await egress.destroy();
  }
  return count;
}

type Feed = z.infer<typeof feedShape>;
type FeedEvent = Feed["items"][number];

async function readFeed(
  api: string,
  key: string,
  after: string | undefined,
  signal: AbortSignal,
): Promise<Feed> {
  const url = new URL("/v1/events", api);
  if (after !== undefined) url.searchParams.set("after", after);
  let answer: Response;
  try {
    answer = await fetch(url, { headers: { authorization: `Bearer ${key}` }, signal });
  } catch (rawError) {
    if (signal.aborted) return { items: [], nextAfter: after ?? null, hasMore: false };
    throw new TemporaryError("internal", `The API at ${url.origin} does not answer`, {}, rawError);
  }
  if (answer.status === 401) throw new InputError("unauthorized", "The API does not know this key");
  const body = feedShape.safeParse(await answer.json().catch(() => undefined));
  if (answer.status === 200 && body.success) return body.data;
  throw new TemporaryError("internal", `The API at ${url.origin} answered ${answer.status}`);
}

async function forward(
  egress: Egress,
  url: string,
  key: Parameters<typeof callbackHeaders>[0]["keys"][number],
  { id, type, timestamp, data }: FeedEvent,
): Promise<string> {
  // The order of keys is that of the callback, and so are the bytes.
  const body = JSON.stringify({ type, timestamp, data });
  const headers = callbackHeaders({ id, body, keys: [key], nowMs: systemClock.now() });
  const outcome = await egress.attempt({ url, headers, body, timeoutMs: TIMEOUT_MS });
  return `${id}  ${type}  ${outcome.httpStatus ?? outcome.error}  ${outcome.durationMs} ms`;
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

function newSecret(): string {
  return formatEndpointSecret(createEndpointSecret(systemRandom)) ?? "";
}
