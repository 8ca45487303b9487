/** What payers are served, without a key: whoever has an order's id, which nobody can guess, may see what to pay. */
import type { KnownAsset } from "../core/asset.ts";
import { InputError, isRetryable } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import { findPayerOrder, type PayerOrder } from "../orders/payer-store.ts";
import type { Logger } from "../runtime/logger.ts";
import { noticePage, orderPage, pageState } from "./order-page.ts";
import { POLICY } from "./page-assets.ts";
import { type PayerView, payerView } from "./payer-view.ts";

export interface PayerPagesParts {
  readonly database: Sql;
  readonly logger: Logger;
  /** What the config in force lists on a chain. */
  readonly assetsOf: (chainId: number) => readonly KnownAsset[];
}

export interface PayerPage {
  readonly path: string;
  /** @throws {InputError} `not_found` */
  answer(params: Readonly<Record<string, string>>): Promise<PageAnswer>;
}

export interface PageAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function payerPages(parts: PayerPagesParts): readonly PayerPage[] {
  return [
    { path: "/pay/:id", answer: ({ id = "" }) => answerPage(parts, id) },
    { path: "/pay/:id/state", answer: ({ id = "" }) => answerState(parts, id) },
  ];
}

const COMMON = {
  "cache-control": "no-store",
  // The id is in the path: no other site is told of it.
  "referrer-policy": "no-referrer",
  "content-security-policy": POLICY,
};

async function answerPage(parts: PayerPagesParts, id: string): Promise<PageAnswer> {
  const headers = { ...COMMON, "content-type": "text/html; charset=utf-8" };
  try {
    const found = await find(parts, id);
    if (found !== undefined) return { status: 200, headers, body: orderPage(found.payer, found.view) };
    const body = noticePage("There is no such order", "Look at the link again, or ask the shop for it.");
    return { status: 404, headers, body };
  } catch (rawError) {
    if (!isRetryable(rawError)) throw rawError;
    parts.logger.warn("Could not show an order to its payer", { error: rawError });
    const body = noticePage("This page cannot be shown now", "Load it again in a moment. Do not pay twice.");
    return { status: 503, headers: { ...headers, "retry-after": "5" }, body };
  }
}

async function answerState(parts: PayerPagesParts, id: string): Promise<PageAnswer> {
  const found = await find(parts, id);
  if (found === undefined) throw new InputError("not_found", "There is no such order");
  return {
    status: 200,
    headers: { ...COMMON, "content-type": "application/json; charset=utf-8" },
    body: JSON.stringify({ ...found.view, page: pageState(found.view) }),
  };
}

async function find(
  { database, assetsOf }: PayerPagesParts,
  id: string,
): Promise<{ readonly payer: PayerOrder; readonly view: PayerView } | undefined> {
  if (!/^ord_\w{1,60}$/.test(id)) return undefined;
  const payer = await findPayerOrder(database, id);
  if (payer === undefined) return undefined;
  const { chainId, assetId } = payer.order;
  const asset = assetsOf(chainId).find((each) => each.id === assetId);
  return { payer, view: payerView(payer, asset) };
}
