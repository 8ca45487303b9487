/** A QR code as an SVG: one path, dark on white in every colour scheme, as scanners want it. */
import { encode } from "uqr";
import { type Html, html } from "./html.ts";

/** Quiet zone, in modules (ISO/IEC 18004, 6.3.8). */
const BORDER = 4;

export function qrCode(text: string): Html {
  const { data, size } = encode(text, { ecc: "M", border: BORDER });
  const path = data
    .flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : "")))
    .join("");
  return html`<svg class="qr" viewBox="0 0 ${size} ${size}" role="img" aria-label="QR code of the payment" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path fill="#000" d="${path}"/></svg>`;
}
