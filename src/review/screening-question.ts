/** What the screening service is asked about a deposit, and how its answer is read. Pure. */
import { z } from "zod";
import type { Deposit } from "../core/deposit.ts";
import { depositBody } from "../core/deposit-body.ts";
import { SCREENING_ANSWERS, type Screening } from "./screening-store.ts";

/** The same text on every attempt for one inclusion. */
export function screeningQuestion(deposit: Deposit): string {
  // At its own block: what is asked does not change with the depth.
  const body = depositBody(deposit, deposit.blockNumber);
  const { id, merchantId, userId, chainId, currency, token, decimals, amount, amountBaseUnits } = body;
  const { from, to, sender, txHash, source, blockNumber, blockHash, blockTime } = body;
  return JSON.stringify({
    id,
    merchantId,
    userId,
    chainId,
    currency,
    token,
    decimals,
    amount,
    amountBaseUnits,
    from,
    sender,
    to,
    txHash,
    source,
    blockNumber,
    blockHash,
    blockTime,
  });
}

const MAX_NOTE = 500;

/** Strict in what decides, lenient in what only explains. */
const answerShape = z.object({
  answer: z.enum(SCREENING_ANSWERS),
  note: z.string().nullish().catch(null),
});

/** `undefined` when it is no answer. */
export function readScreeningAnswer(text: string): Screening | undefined {
  const parsed = answerShape.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const { answer, note } = parsed.data;
  return { state: answer, detail: note == null ? null : cleanNote(note) };
}

/** PostgreSQL's text takes no NUL, and a terminal no other control characters. */
function cleanNote(note: string): string {
  return note
    .replace(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, MAX_NOTE);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
