/**
 * What a payer is told of an order. Pure.
 *
 *   waiting     nothing came yet                          pay the amount
 *   underpaid   some of it came                           pay what is missing
 *   seen        enough waits in the mempool               do not pay again
 *   confirming  enough is in blocks, not credited yet     do not pay again
 *   paid, overpaid                                        done
 *   expired     the time is up, and less came             do not pay any more
 *
 * Whoever can be asked to pay twice, or too late, or less than counts, loses money: so an amount to pay is named in the
 * first two alone.
 */
import { formatAmount } from "../core/amount.ts";
import type { KnownAsset } from "../core/asset.ts";
import { paymentUri } from "../core/payment-uri.ts";
import type { PayerOrder } from "../orders/payer-store.ts";

export type Phase = "waiting" | "underpaid" | "seen" | "confirming" | "paid" | "overpaid" | "expired";

/** What the page shows, and what `/state` answers: nothing of the merchant, the user or another order. */
export interface PayerView {
  readonly phase: Phase;
  /** A sentence or two for people. */
  readonly message: string;
  readonly currency: string;
  /** Decimal texts. */
  readonly amount: string;
  readonly paid: string;
  readonly late: string;
  /** In blocks, not credited yet. */
  readonly pending: string;
  /** In the mempool. */
  readonly seen: string;
  /** Of the newest payment that is not credited yet. `null`: there is none, or it waits for something else. */
  readonly confirmations: { readonly have: number; readonly need: number } | null;
  /** `null`: nothing is to be paid, at least not now. */
  readonly toPay: { readonly amount: string; readonly uri: string } | null;
  /** 0: the time is up. */
  readonly secondsLeft: number;
}

/** @param asset as it is listed now; `undefined`: it is not, and what is paid would not count */
export function payerView(payer: PayerOrder, asset: KnownAsset | undefined): PayerView {
  const { order, pendingBaseUnits, seenBaseUnits, now } = payer;
  const missing = max(0n, order.amountBaseUnits - order.paidBaseUnits - pendingBaseUnits);
  const secondsLeft = Math.max(0, Math.ceil((order.expiresAt.getTime() - now.getTime()) / 1000));
  const phase = phaseOf(payer, missing, secondsLeft);
  const isToPay = phase === "waiting" || phase === "underpaid";
  // Less than the minimum is kept as `ignored`.
  const rest = missing - seenBaseUnits;
  const isPayable = isToPay && asset !== undefined && rest >= asset.minimumBaseUnits;
  const text = (baseUnits: bigint) => formatAmount(baseUnits, order.decimals);
  const view = {
    phase,
    currency: order.currency,
    amount: text(order.amountBaseUnits),
    paid: text(order.paidBaseUnits),
    late: text(order.lateBaseUnits),
    pending: text(pendingBaseUnits),
    seen: text(seenBaseUnits),
    confirmations: confirmationsOf(payer),
    toPay: isPayable ? { amount: text(rest), uri: paymentUri({ ...order, amountBaseUnits: rest }) } : null,
    secondsLeft,
  };
  return { ...view, message: messageOf(view, isToPay && !isPayable ? text(rest) : null) };
}

function phaseOf(
  { order, pendingBaseUnits, seenBaseUnits }: PayerOrder,
  missing: bigint,
  left: number,
): Phase {
  if (order.status === "paid" || order.status === "overpaid") return order.status;
  if (missing === 0n) return "confirming";
  if (order.status === "expired" || left === 0) return "expired";
  if (seenBaseUnits >= missing) return "seen";
  return order.paidBaseUnits + pendingBaseUnits > 0n ? "underpaid" : "waiting";
}

/** Of a threshold that is no depth there is nothing to count. */
function confirmationsOf({ waiting }: PayerOrder): PayerView["confirmations"] {
  const need = Number(/^\d+/.exec(waiting?.creditAt ?? "")?.[0] ?? Number.NaN);
  if (waiting === null || Number.isNaN(need)) return null;
  return { have: Math.min(Math.max(waiting.depth, 0), need), need };
}

/** @param unpayable what is missing and cannot be paid */
function messageOf(view: Omit<PayerView, "message">, unpayable: string | null): string {
  const { phase, currency, amount, paid, late, pending, seen } = view;
  const came = (text: string, how: string) => (text === "0" ? [] : [`${text} ${currency} ${how}.`]);
  const news = [
    ...came(paid, "arrived"),
    ...came(pending, `on the way${countText(view)}`),
    ...came(seen, "seen, not in a block yet"),
  ];
  switch (phase) {
    case "paid":
      return `Paid: ${amount} ${currency}. Thank you.`;
    case "overpaid":
      return `Paid, and more than was asked for: ${[...came(paid, "arrived"), ...came(late, "arrived late")].join(" ")}`;
    case "confirming":
      return `Your payment is in the chain and is being confirmed${countText(view)}. Do not pay again.`;
    case "seen":
      return "Your payment was seen and waits for its block. Do not pay again.";
    case "expired":
      return [
        "The time to pay is over. Do not pay any more.",
        ...news,
        ...came(late, "arrived late"),
        ...ASK,
      ].join(" ");
    default:
      if (unpayable !== null)
        return [...news, `${unpayable} ${currency} missing, which cannot be paid here.`, ...ASK].join(" ");
      return phase === "waiting" && news.length === 0
        ? "Waiting for your payment."
        : [...news, `${view.toPay?.amount ?? ""} ${currency} missing.`].join(" ");
  }
}

const ASK = ["Ask the shop what to do."];

function countText({ confirmations }: Pick<PayerView, "confirmations">): string {
  return confirmations === null ? "" : ` (${confirmations.have} of ${confirmations.need} confirmations)`;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
