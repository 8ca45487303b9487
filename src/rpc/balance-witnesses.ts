/** A balance that several nodes agree on: as nothing proves one, agreement is all there is. */
import { DepositdError } from "../core/errors.ts";
import type { BalanceAnswer, BalanceQuestion } from "./balance.ts";

export type WitnessedBalance =
  | {
      readonly kind: "told";
      readonly amountBaseUnits: bigint;
      /** How many nodes told this. */
      readonly nodes: number;
    }
  | { readonly kind: "untold"; readonly reason: string };

interface BalanceNode {
  balance(question: BalanceQuestion, signal?: AbortSignal): Promise<BalanceAnswer>;
}

/**
 * Asks one node after the other until so many have told the same. Never throws for what nodes do: whoever asks can
 * wait, and asks again.
 */
export async function witnessBalance(
  nodes: readonly BalanceNode[],
  question: BalanceQuestion,
  wanted: number,
  signal?: AbortSignal,
): Promise<WitnessedBalance> {
  const told = new Map<bigint, number>();
  const reasons: string[] = [];
  for (const node of nodes) {
    const answer = await askOne(node, question, signal);
    if (answer.kind === "untold") {
      reasons.push(answer.reason);
      continue;
    }
    const { amountBaseUnits } = answer;
    const count = (told.get(amountBaseUnits) ?? 0) + 1;
    told.set(amountBaseUnits, count);
    if (count >= wanted) return { kind: "told", amountBaseUnits, nodes: count };
  }
  return { kind: "untold", reason: reasonOf([...told.keys()], reasons, wanted) };
}

async function askOne(
  node: BalanceNode,
  question: BalanceQuestion,
  signal: AbortSignal | undefined,
): Promise<BalanceAnswer> {
  try {
    return await node.balance(question, signal);
  } catch (rawError) {
    signal?.throwIfAborted();
    if (rawError instanceof DepositdError) return { kind: "untold", reason: rawError.message };
    throw rawError;
  }
}

function reasonOf(told: readonly bigint[], reasons: readonly string[], wanted: number): string {
  if (told.length > 1) return `the nodes tell different balances: ${told.join(", ")}`;
  const why = reasons[0] ?? "there is no other node";
  return told.length === 1 ? `${wanted} nodes have to tell the same, and fewer did: ${why}` : why;
}
