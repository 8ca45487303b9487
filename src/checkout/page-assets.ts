/** The page's style and script. Both are inside the page; its policy names their hashes, and allows nothing else. */
import { createHash } from "node:crypto";

export const STYLE = `
:root { color-scheme: light dark; --text: #1a1c20; --quiet: #5b616b; --back: #f4f5f7; --card: #fff; --line: #d9dce1; --act: #0b57d0; --good: #146c2e; --bad: #a5281b; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8eaed; --quiet: #a6adb8; --back: #121417; --card: #1d2025; --line: #383d45; --act: #a8c7fa; --good: #7fd99a; --bad: #ffb4a8; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 28rem; margin: 0 auto; padding: 1rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem; margin: 0 0 1rem; }
h1 { font-size: 1.1rem; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
.sum { font-size: 1.9rem; font-weight: 700; margin: 0; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); margin: .25rem 0; }
.warn { font-weight: 600; margin: .75rem 0 0; }
.paid, .overpaid { color: var(--good); }
.expired { color: var(--bad); }
#message { font-weight: 600; margin: 0; }
.qr { display: block; width: 100%; max-width: 18rem; margin: 0 auto 1rem; border-radius: .5rem; }
dt { color: var(--quiet); font-size: .9rem; }
dd { margin: 0 0 .75rem; }
code { font: .95rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
a.pay { display: block; text-align: center; padding: .8rem; border-radius: .5rem; background: var(--act); color: var(--card); font-weight: 600; text-decoration: none; }
button { font: inherit; color: var(--act); background: none; border: 1px solid var(--line); border-radius: .4rem; padding: .35rem .8rem; margin-top: .35rem; min-height: 2.75rem; }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
`;

/**
 * Asks how the order is, shows the news, and loads the page anew when it is another page: so what is shown is made in
 * one place. Without it the page is whole, and asks to be loaded again.
 */
export const SCRIPT = `
"use strict";
const main = document.querySelector("main");
const message = document.getElementById("message");
const left = document.getElementById("left");
const loadedAt = performance.now();
let secondsLeft = Number(main.dataset.left);
let asOf = loadedAt;

const clock = () => {
  if (left === null) return;
  const seconds = Math.max(0, Math.round(secondsLeft - (performance.now() - asOf) / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const time = (hours > 0 ? hours + ":" : "") + two(Math.floor(seconds / 60) % 60) + ":" + two(seconds % 60);
  left.textContent = " (" + time + " left)";
};
setInterval(clock, 1000);
clock();

const EVERY_MS = 3000;
let waitMs = EVERY_MS;
const look = async () => {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.pathname + "/state", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      if (state.page !== main.dataset.page) return location.reload();
      secondsLeft = state.secondsLeft;
      asOf = performance.now();
      if (message.textContent !== state.message) message.textContent = state.message;
      waitMs = EVERY_MS;
    } catch {
      waitMs = Math.min(30000, waitMs * 2);
    }
  }
  setTimeout(look, waitMs);
};
setTimeout(look, waitMs);
document.addEventListener("visibilitychange", () => { waitMs = EVERY_MS; });

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (navigator.clipboard === undefined) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
`;

const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** No host, no inline code of others, no frame, no form: whatever got into the page could do nothing. */
export const POLICY = [
  "default-src 'none'",
  `style-src ${hash(STYLE)}`,
  `script-src ${hash(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");
