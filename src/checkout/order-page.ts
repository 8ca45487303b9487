/** The page of one order, for its payer. */
import { createHash } from "node:crypto";
import { checksumAddress } from "../core/hex.ts";
import type { PayerOrder } from "../orders/payer-store.ts";
import { type Html, html, NOTHING, trusted } from "./html.ts";
import { SCRIPT, STYLE } from "./page-assets.ts";
import type { PayerView } from "./payer-view.ts";
import { qrCode } from "./qr-code.ts";

/** Of a page that no news change any more nobody asks every few seconds. */
const RELOAD = trusted('<noscript><meta http-equiv="refresh" content="15"></noscript>');

export function orderPage(payer: PayerOrder, view: PayerView): string {
  const { order } = payer;
  const isOpen = view.phase !== "paid" && view.phase !== "overpaid" && view.phase !== "expired";
  return frame(
    `Pay ${view.amount} ${view.currency}`,
    isOpen ? RELOAD : NOTHING,
    html`<main data-page="${pageState(view)}" data-left="${view.secondsLeft}">
<h1>Order ${order.orderNo}</h1>
<section>
<p class="sum">${view.amount} ${view.currency}</p>
<p class="quiet">on ${payer.chainName} (chain ${order.chainId})</p>
<p id="message" class="${view.phase}" role="status">${view.message}</p>
${isOpen ? timeLeft(payer, view) : NOTHING}
</section>
${view.toPay === null ? NOTHING : instructions(payer, view.currency, view.toPay)}
</main>
${trusted(`<script>${SCRIPT}</script>`)}`,
  );
}

/** For an order that there is not, and for a moment when nothing can be told. */
export function noticePage(title: string, text: string): string {
  return frame(
    title,
    NOTHING,
    html`<main><section><h1>${title}</h1><p class="quiet">${text}</p></section></main>`,
  );
}

/** Changes with whatever is more than a message: what is to be paid, and whether anything is. */
export function pageState({ phase, toPay }: PayerView): string {
  const text = JSON.stringify([phase, toPay]);
  return createHash("sha256").update(text).digest("base64url").slice(0, 16);
}

function timeLeft({ order }: PayerOrder, { secondsLeft }: PayerView): Html {
  if (secondsLeft === 0) return NOTHING;
  const time = order.expiresAt.toISOString();
  return html`<p class="quiet">Pay by <time datetime="${time}">${time.slice(0, 16).replace("T", " ")} UTC</time><span id="left"></span></p>`;
}

function instructions(
  { order, chainName }: PayerOrder,
  currency: string,
  { amount, uri }: NonNullable<PayerView["toPay"]>,
): Html {
  const token = order.token === null ? null : checksumAddress(order.token);
  return html`<section aria-label="How to pay">
${qrCode(uri)}
<dl>
<dt>Amount to pay</dt><dd><code>${amount}</code> ${currency}<br>${copyButton("amount", amount)}</dd>
<dt>To the address</dt><dd><code>${checksumAddress(order.address)}</code><br>${copyButton("address", checksumAddress(order.address))}</dd>
${token === null ? NOTHING : html`<dt>Token contract</dt><dd><code>${token}</code></dd>`}
</dl>
<a class="pay" href="${uri}">Open in a wallet</a>
<p class="warn">Pay with ${currency} on ${chainName} only. Anything else does not count for this order.</p>
</section>`;
}

/** Shown by the script, where it can copy. */
function copyButton(what: string, text: string): Html {
  return html`<button type="button" hidden data-copy="${text}" aria-label="Copy the ${what}">Copy</button>`;
}

function frame(title: string, head: Html, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${title}</title>
${head}${trusted(`<style>${STYLE}</style>`)}
</head>
<body>
${body}
</body>
</html>
`.html;
}
