/** What holds a deposit back before it is credited. Pure: the screening service's answer is an input. */
import { formatAmount } from "../core/amount.ts";
import type { Deposit, HoldReason } from "../core/deposit.ts";
import { HOLD_REASONS } from "../core/deposit.ts";
import { type Address, checksumAddress } from "../core/hex.ts";
import type { NoAnswerChoice, ReviewConfig, ReviewLimit } from "../runtime/config/config.ts";
import type { Screening } from "./screening-store.ts";
import type { SenderLists } from "./sender-lists.ts";

/** What is in force now. */
export interface HoldRules {
  limitOf(deposit: Pick<Deposit, "chainId" | "token">): ReviewLimit | undefined;
  filesWith(address: Address): readonly string[];
  /** What holds where the service did not answer; `null`: none is asked. */
  readonly onNoAnswer: NoAnswerChoice | null;
}

/** One rule that holds a deposit, with what it found. */
export interface Finding {
  readonly reason: HoldReason;
  /** A sentence for operators. */
  readonly text: string;
}

/** `null` for rules that can hold nothing: then nothing need be asked. */
export function holdRulesOf(
  { limits, senderLists, screening }: ReviewConfig,
  lists: Pick<SenderLists, "filesWith">,
): HoldRules | null {
  if (limits.length === 0 && senderLists.length === 0 && screening === null) return null;
  const byAsset = new Map(limits.map((limit) => [assetKey(limit), limit]));
  return {
    limitOf: (deposit) => byAsset.get(assetKey(deposit)),
    filesWith: lists.filesWith,
    onNoAnswer: screening?.onNoAnswer ?? null,
  };
}

/**
 * Everything that holds a deposit, the gravest first: its reason is the deposit's. None: it may be credited.
 *
 * @param screening what the service answered in this inclusion; `undefined` where none is asked
 */
export function findHolds(deposit: Deposit, rules: HoldRules, screening: Screening | undefined): Finding[] {
  const findings = [
    ...senderFindings(deposit, rules),
    ...screeningFindings(rules, screening),
    ...limitFindings(deposit, rules),
  ];
  return findings.sort((a, b) => HOLD_REASONS.indexOf(a.reason) - HOLD_REASONS.indexOf(b.reason));
}

/** Whose money it is, and who moved it: in a `transferFrom` they are two. */
function senderFindings({ from, sender }: Deposit, rules: HoldRules): Finding[] {
  const found = (address: Address, who: string): Finding[] =>
    rules.filesWith(address).map((file) => ({
      reason: "sender_listed",
      text: `${who} ${checksumAddress(address)} is in ${file}`,
    }));
  return [
    ...found(from, "The sender"),
    ...(sender === null || sender === from ? [] : found(sender, "The sender of the transaction")),
  ];
}

function screeningFindings({ onNoAnswer }: HoldRules, screening: Screening | undefined): Finding[] {
  if (onNoAnswer === null) return [];
  // Settling passes over it; should it ever come here, it must not be taken for approved.
  if (screening === undefined)
    return [{ reason: "screening_no_answer", text: "The screening service was not asked" }];
  if (screening.state === "approve") return [];
  const detail = screening.detail === null ? "" : `: ${screening.detail}`;
  if (screening.state !== "no_answer")
    return [{ reason: "screening", text: `The screening service answered ${screening.state}${detail}` }];
  if (onNoAnswer === "approve") return [];
  return [{ reason: "screening_no_answer", text: `The screening service did not answer${detail}` }];
}

function limitFindings(deposit: Deposit, rules: HoldRules): Finding[] {
  const limit = rules.limitOf(deposit);
  if (limit === undefined || deposit.amountBaseUnits <= limit.overBaseUnits) return [];
  const amount = (baseUnits: bigint) => `${formatAmount(baseUnits, limit.decimals)} ${limit.currency}`;
  return [
    {
      reason: "amount_over_limit",
      text: `${amount(deposit.amountBaseUnits)} is over the limit of ${amount(limit.overBaseUnits)}`,
    },
  ];
}

function assetKey({ chainId, token }: Pick<Deposit, "chainId" | "token">): string {
  return `${chainId} ${token ?? ""}`;
}
