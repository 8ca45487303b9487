/** A merchant's events as they come, read from the feed of a daemon's API with an API key. */
import type { z } from "zod";
import { InputError, TemporaryError } from "../core/errors.ts";
import { feedShape } from "../http/callback-answers.ts";

type FeedPage = z.infer<typeof feedShape>;
export type FeedEvent = FeedPage["items"][number];

/** Where a feed is read from. */
export interface FeedSource {
  /** Where the API is; a path in front of its own is kept. */
  readonly api: URL;
  readonly key: string;
}

/** @throws {InputError} `invalid_url`, or `unauthorized` for a key that no header can carry */
export function readFeedSource(api: string, key: string): FeedSource {
  const url = URL.canParse(api) ? new URL(api) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol))
    throw new InputError("invalid_url", "--api must begin with http:// or https://", { api });
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new InputError("unauthorized", "The API key holds characters that no key has");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return { api: url, key };
}

/**
 * @param after `nextAfter` of the page before; `end`: only what comes; `null`: from the first event on
 * @throws {InputError} `unauthorized` @throws {TemporaryError} when the API does not answer as one does
 */
export async function readFeedPage(
  { api, key }: FeedSource,
  after: string | null,
  signal: AbortSignal,
): Promise<FeedPage> {
  const url = new URL("v1/events", api);
  if (after !== null) url.searchParams.set("after", after);
  let answer: Response;
  try {
    answer = await fetch(url, { headers: { authorization: `Bearer ${key}` }, signal });
  } catch (rawError) {
    if (signal.aborted) return { items: [], nextAfter: after, hasMore: false };
    throw new TemporaryError("internal", `The API at ${api.host} does not answer`, {}, rawError);
  }
  if (answer.status === 401) throw new InputError("unauthorized", "The API does not know this key");
  const body = feedShape.safeParse(await answer.json().catch(() => undefined));
  if (answer.status === 200 && body.success) return body.data;
  const what = `The API at ${api.host} answered ${answer.status}, which is no page of events`;
  throw new TemporaryError("internal", what);
}
