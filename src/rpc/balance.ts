/**
 * What an address held after a block, as nodes tell it: of a token by its contract's `balanceOf`, of the native coin by
 * `eth_getBalance`. Pinned to the block's hash (EIP-1898), so that no answer comes from another branch; a node that
 * takes numbers only is asked so, and has to show the block's hash at that number before and after.
 *
 * Nothing proves a balance: of a token's storage only the contract knows the place. It is what nodes say.
 */
import type { BlockHeader } from "../core/chain.ts";
import { DepositdError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import { blockNumberParameter, checkHeader } from "./check-block.ts";
import type { Ask } from "./json-rpc.ts";

export interface BalanceQuestion {
  /** `null`: the native coin. */
  readonly token: Address | null;
  readonly holder: Address;
  /** After all transactions of this block. */
  readonly block: Pick<BlockHeader, "number" | "hash">;
}

export type BalanceAnswer =
  | { readonly kind: "told"; readonly amountBaseUnits: bigint }
  /** The node is well, and cannot say: the state of an old block is pruned, the contract refuses. */
  | { readonly kind: "untold"; readonly reason: string };

type BlockParameter = string | { readonly blockHash: string; readonly requireCanonical: true };

/** keccak256("balanceOf(address)"), the first four bytes */
const BALANCE_OF = "0x70a08231";
const UINT256 = /^0x[0-9a-f]{64}$/i;
const QUANTITY = /^0x[0-9a-f]{1,64}$/i;

/** @throws {DepositdError} when the node does not answer, or not as nodes do */
export async function askBalance(
  ask: Ask,
  question: BalanceQuestion,
  signal?: AbortSignal,
): Promise<BalanceAnswer> {
  const byHash = await askAt(
    ask,
    question,
    { blockHash: question.block.hash, requireCanonical: true },
    signal,
  );
  if (byHash.kind === "told" || byHash.isPruned) return byHash;
  const byNumber = await askByNumber(ask, question, signal);
  return byNumber.kind === "told" ? byNumber : byHash;
}

type Answer =
  | Extract<BalanceAnswer, { kind: "told" }>
  | (Extract<BalanceAnswer, { kind: "untold" }> & { readonly isPruned: boolean });

async function askByNumber(
  ask: Ask,
  question: BalanceQuestion,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const number = blockNumberParameter(question.block.number);
  const isOurs = async () => {
    const header = await ask("eth_getBlockByNumber", [number, false], signal);
    return header !== null && checkHeader(header).hash === question.block.hash;
  };
  if (!(await isOurs())) return untold("the node has another block, or none, at that number");
  const answer = await askAt(ask, question, number, signal);
  return (await isOurs()) ? answer : untold("the node changed branches meanwhile");
}

async function askAt(
  ask: Ask,
  { token, holder }: BalanceQuestion,
  at: BlockParameter,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  try {
    if (token === null) return readBalance(await ask("eth_getBalance", [holder, at], signal), QUANTITY);
    const data = `${BALANCE_OF}${"0".repeat(24)}${holder.slice(2)}`;
    const returned = await ask("eth_call", [{ to: token, data }, at], signal);
    if (returned !== "0x") return readBalance(returned, UINT256);
    // Before a contract is made nobody holds any of it; one that is there and returns nothing is no token.
    const code = await ask("eth_getCode", [token, at], signal);
    return code === "0x" ? { kind: "told", amountBaseUnits: 0n } : untold("the contract returns no balance");
  } catch (rawError) {
    if (!(rawError instanceof DepositdError) || !IS_AN_ANSWER.includes(rawError.code)) throw rawError;
    return { ...untold(rawError.message), isPruned: rawError.facts["isPruned"] === true };
  }
}

const IS_AN_ANSWER: readonly string[] = ["node_error", "node_method_missing"];

function readBalance(answer: unknown, form: RegExp): Answer {
  if (typeof answer !== "string" || !form.test(answer)) return untold("what it answers is no balance");
  return { kind: "told", amountBaseUnits: BigInt(answer) };
}

function untold(reason: string): Extract<Answer, { kind: "untold" }> {
  return { kind: "untold", reason, isPruned: false };
}
