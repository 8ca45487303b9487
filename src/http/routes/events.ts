/** The feed of events, for those who would rather pull. */
import { z } from "zod";
import { InputError } from "../../core/errors.ts";
import { parseEventId, publicEventId } from "../../delivery/public-id.ts";
import { type FeedItem, type FeedPlace, findFeedEnd, readFeed } from "../../outbox/feed-store.ts";
import { feedShape } from "../callback-answers.ts";
import { pageQuery } from "../inputs.ts";
import { type Route, route } from "../route.ts";

/** Where only what comes is wanted. */
const END = "end";

export const eventRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/v1/events",
    summary: "All events in a fixed order, none left out: read on from `nextAfter` whenever you like.",
    query: z.strictObject({
      after: z
        .string()
        .max(200)
        .optional()
        .meta({ description: "`nextAfter` of the page before; `end` for what comes from now on." }),
      limit: pageQuery.limit,
    }),
    answers: { 200: { description: "Events after it.", shape: feedShape } },
    handle: async ({ caller, query: { after, limit }, database }) => {
      if (after === END) {
        const end = await findFeedEnd(database, caller.merchantId);
        const nextAfter = encodePlace(end ?? { xid: "0", id: "0".repeat(32) });
        return { status: 200, body: { items: [], nextAfter, hasMore: false } };
      }
      const place = after === undefined ? undefined : decodePlace(after);
      const found = await readFeed(database, caller.merchantId, place, limit + 1);
      const items = found.slice(0, limit);
      const last = items.at(-1);
      return {
        status: 200,
        body: {
          items: items.map(itemBody),
          nextAfter: last === undefined ? (after ?? null) : encodePlace(last),
          hasMore: found.length > limit,
        },
      };
    },
  }),
];

function itemBody({ id, body }: FeedItem): Record<string, unknown> {
  return { id: publicEventId(id), ...(JSON.parse(body) as Record<string, unknown>) };
}

function encodePlace({ xid, id }: FeedPlace): string {
  return Buffer.from(`${xid}.${publicEventId(id)}`).toString("base64url");
}

/** @throws {InputError} `invalid_cursor` for anything that `encodePlace` did not make */
function decodePlace(text: string): FeedPlace {
  const [xid = "", id = ""] = Buffer.from(text, "base64url").toString("utf8").split(".");
  if (!/^\d{1,19}$/.test(xid))
    throw new InputError("invalid_cursor", "`after` is not the `nextAfter` of a page of events");
  return { xid, id: parseEventId(id) };
}
