/**
 * What nodes say when a question for logs asks too much at once. Every provider has limits and words of its own;
 * all of them mean the same: ask for fewer blocks.
 *
 * Not every refusal is one. A rate limit asks for patience, history that was pruned for another node; neither gets
 * better with a smaller range.
 */
import { DepositdError } from "../core/errors.ts";

/**
 * Seen in the wild: `query returned more than 10000 results` (-32005) · `query exceeds max results 20000, retry with
 * the range 1-2` · `query exceeds max block range 100000` · `range 1000000 exceeds limit of 10000` · `Log response
 * size exceeded. You can make eth_getLogs requests with up to a 2K block range` · `eth_getLogs is limited to a 10,000
 * range` · `exceed maximum block range: 5000` · `block range is too wide` · `requested too many blocks from 1 to
 * 16777217, maximum is set to 2048` · `ranges over 10000 blocks are not supported on freetier` (35) · `range 9009594
 * is bigger than range limit 2000` (in `data`) · `maximum [from, to] blocks distance: 10000` · `logs matched by query
 * exceeds limit of 10000` · `backend response too large` · `response size should not greater than 10000000 bytes` ·
 * `query timeout exceeded` · `exceed max addresses or topics per search position`.
 */
const CAP_TEXT = new RegExp(
  [
    String.raw`\branges?\b`,
    "blocks distance",
    String.raw`\bmore than [\d,]+ (results|logs|events)`,
    String.raw`\btoo many (blocks|results|logs|events|addresses|topics)`,
    String.raw`\bmax(imum)? (number of )?(results|blocks|logs|events|addresses)`,
    String.raw`\blogs matched\b`,
    String.raw`\bresponse (size|(is )?too (large|big))`,
    String.raw`\bresult (set )?(is )?too (large|big)`,
    String.raw`\b(timeout|timed out|took too long)\b`,
  ].join("|"),
  "i",
);

const PRUNED_CODE = 4444;
const PRUNED_TEXT =
  /\bprun|\bhistor(y|ical)\b.{0,40}\b(unavailable|not available|missing)|missing trie node/i;

/** True for an error to a question for logs that a smaller range may escape. */
export function isLogCap(rpcCode: number | null, text: string): boolean {
  return CAP_TEXT.test(text) && !isPruned(rpcCode, text);
}

/** EIP-4444 and its kin: the node keeps blocks of that age no longer. It says nothing about their logs. */
export function isPruned(rpcCode: unknown, text: string): boolean {
  return rpcCode === PRUNED_CODE || PRUNED_TEXT.test(text);
}

/** Gateway time-outs, and a body that was refused for its size. */
const CAP_STATUSES: ReadonlySet<unknown> = new Set([408, 413, 504, 524]);
const CAP_REASONS: ReadonlySet<unknown> = new Set([
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "answers too slowly",
]);

/** True when the question failed in a way that a smaller range may escape: in words, in time or in size. */
export function isTooMuchAtOnce(rawError: unknown): boolean {
  if (!(rawError instanceof DepositdError)) return false;
  const { code, facts } = rawError;
  if (code === "node_range_refused") return true;
  if (code === "node_error") return CAP_STATUSES.has(facts["status"]) && facts["rpcCode"] === undefined;
  if (code === "node_unreachable") return CAP_REASONS.has(facts["reason"]);
  return code === "node_answer_invalid" && facts["maxBytes"] !== undefined;
}
