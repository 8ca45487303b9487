/**
 * Native value moved by the calls within a transaction.
 *
 * Value moves in CALL, CREATE, CREATE2 and SELFDESTRUCT, and only when neither the call nor any around it failed.
 * DELEGATECALL frames repeat the value of the call around them and move nothing; CALLCODE keeps it where it was.
 *
 * The path counts, at each level, only calls that move value or have one below them that does. Tracers disagree
 * about the others (calls of precompiled contracts are left out by some, calls that failed at once by others),
 * and a path that depends on the tracer would make two deposits of one transfer as soon as another node answers.
 */
import type { Transfer } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";
import type { CallFrame, FetchedTransaction } from "../rpc/fetched-block.ts";

const MOVING_TYPES: ReadonlySet<string> = new Set(["CALL", "CREATE", "CREATE2", "SELFDESTRUCT"]);

/** Addresses below 0x10000 are precompiled contracts on one chain or another; nobody has their keys. */
const PRECOMPILED = `0x${"0".repeat(36)}`;

interface Move {
  readonly path: readonly number[];
  readonly from: Address;
  readonly to: Address;
  readonly amountBaseUnits: bigint;
}

/** @param outermost the transaction's own call, whose value is `value` and is not repeated here */
export function innerTransfers(
  { hash: txHash, from: sender }: Pick<FetchedTransaction, "hash" | "from">,
  outermost: CallFrame,
): Transfer[] {
  if (isFailed(outermost)) return [];
  return movesBelow(outermost).map(({ path, ...move }) => ({
    txHash,
    source: `trace:${path.join(".")}`,
    token: null,
    ...move,
    sender,
  }));
}

function movesBelow(frame: CallFrame): Move[] {
  const moves: Move[] = [];
  let index = 0;
  for (const call of frame.calls ?? []) {
    if (isFailed(call)) continue;
    const own = moveOf(call, index);
    const below = movesBelow(call);
    if (own === null && below.length === 0) continue;
    if (own !== null) moves.push(own);
    for (const move of below) moves.push({ ...move, path: [index, ...move.path] });
    index += 1;
  }
  return moves;
}

function moveOf(call: CallFrame, index: number): Move | null {
  if (!MOVING_TYPES.has(call.type) || call.value === undefined || call.value === null) return null;
  const amountBaseUnits = BigInt(call.value);
  const { from, to } = call;
  if (amountBaseUnits === 0n || to === undefined || to === null || to.startsWith(PRECOMPILED)) return null;
  return { path: [index], from, to, amountBaseUnits };
}

function isFailed(frame: CallFrame): boolean {
  return frame.error !== undefined && frame.error !== null;
}
