/**
 * Checks and reads the traces of a block in the two forms nodes offer: geth's `debug_traceBlockByHash` with the
 * `callTracer` (a tree for each transaction) and OpenEthereum's `trace_block` (one flat list). Both come out as
 * trees.
 */
import type { Address, Hash } from "../core/hex.ts";
import {
  AnswerRefused,
  expectHash,
  type Fields,
  isFields,
  readAddress,
  readFields,
  readHash,
  readList,
  readOptionalAddress,
  readQuantity,
} from "./answer.ts";
import type { CheckedBlock } from "./check-block.ts";
import type { CallFrame, FetchedReceipt, FetchedTransaction, Quantity } from "./fetched-block.ts";

/** The EVM's own limit is 1,024 calls within each other. */
const MAX_DEPTH = 1_100;

/** @param answer of `debug_traceBlockByHash`: `{ txHash, result }` for each transaction, in order */
export function checkCallTraces(
  answer: unknown,
  block: CheckedBlock,
  receipts: readonly FetchedReceipt[],
): CallFrame[] {
  const items = readList(answer, "The list of traces");
  if (items.length !== block.transactions.length) {
    throw new AnswerRefused("The block's traces are not as many as its transactions", {
      traces: items.length,
      transactions: block.transactions.length,
    });
  }
  return block.transactions.map((transaction, index) => {
    const item = readFields(items[index], "A trace");
    if (item["error"] !== undefined && item["error"] !== null) {
      throw new AnswerRefused("The node could not trace a transaction", { transaction: transaction.hash });
    }
    const frame = readFields(item["result"], "A trace's result");
    checkFrame(frame, 0);
    expectOwner(item["txHash"], frame, transaction);
    expectOutcome(frame as unknown as CallFrame, transaction, receipts[index]);
    return frame as unknown as CallFrame;
  });
}

/** Some nodes give no hash with a trace; then its outermost call must be this transaction's. */
function expectOwner(txHash: unknown, frame: Fields, transaction: FetchedTransaction): void {
  if (txHash !== undefined && txHash !== null) {
    expectHash({ txHash }, "txHash", transaction.hash);
    return;
  }
  const isOwn =
    frame["from"] === transaction.from && (transaction.to === null || frame["to"] === transaction.to);
  if (!isOwn) throw new AnswerRefused("A trace is of another transaction", { transaction: transaction.hash });
}

/** A trace that failed where the receipt succeeded would hide what the transaction did inside. */
function expectOutcome(
  frame: CallFrame,
  transaction: FetchedTransaction,
  receipt: FetchedReceipt | undefined,
): void {
  if (receipt?.status !== "0x1" || frame.error === undefined || frame.error === null) return;
  throw new AnswerRefused("A trace says its transaction failed, the receipt says it succeeded", {
    transaction: transaction.hash,
  });
}

function checkFrame(frame: Fields, depth: number): void {
  if (depth > MAX_DEPTH) throw new AnswerRefused("A trace is deeper than the EVM goes");
  if (typeof frame["type"] !== "string") throw new AnswerRefused("A call in a trace has no type");
  readAddress(frame, "from");
  readOptionalAddress(frame, "to");
  if (frame["value"] !== undefined && frame["value"] !== null) readQuantity(frame, "value");
  expectTraceable(frame);
  const calls = frame["calls"];
  if (calls === undefined || calls === null) return;
  for (const call of readList(calls, "A trace's list of calls")) {
    checkFrame(readFields(call, "A call in a trace"), depth + 1);
  }
}

const MOVING_TYPES: ReadonlySet<unknown> = new Set(["CALL", "CREATE", "CREATE2", "SELFDESTRUCT"]);
const STILL_TYPES: ReadonlySet<unknown> = new Set(["DELEGATECALL", "CALLCODE", "STATICCALL"]);

/** Value that moves in a way nobody has told us of, or to nowhere, would be overlooked in silence. */
function expectTraceable(frame: Fields): void {
  const isStill = STILL_TYPES.has(frame["type"]) || typeof frame["error"] === "string";
  if (isStill || typeof frame["value"] !== "string" || /^0x0*$/.test(frame["value"])) return;
  if (!MOVING_TYPES.has(frame["type"])) {
    throw new AnswerRefused("A call of an unknown type moves value", { type: String(frame["type"]) });
  }
  if (frame["to"] === null) throw new AnswerRefused("A call moves value to nobody");
}

interface GrowingFrame extends CallFrame {
  readonly calls: GrowingFrame[];
}

/**
 * @param answer of `trace_block`, which is asked by number: each item says which block it is of, and a block
 * with transactions has at least one item for each
 */
export function checkFlatTraces(
  answer: unknown,
  block: CheckedBlock,
  receipts: readonly FetchedReceipt[],
): CallFrame[] {
  const trees = new Map<Hash, GrowingFrame>();
  for (const item of readList(answer, "The list of traces")) {
    const fields = readFields(item, "A trace");
    if (fields["type"] === "reward") continue; // paid by the protocol, in no transaction
    expectHash(fields, "blockHash", block.header.hash);
    growTree(trees, readHash(fields, "transactionHash"), fields);
  }
  return block.transactions.map((transaction, index) => {
    const tree = trees.get(transaction.hash);
    if (tree === undefined)
      throw new AnswerRefused("A transaction has no trace", { transaction: transaction.hash });
    expectOutcome(tree, transaction, receipts[index]);
    return tree;
  });
}

/** Items come parents first, children in order, so each finds its parent there and is its parent's next child. */
function growTree(trees: Map<Hash, GrowingFrame>, transactionHash: Hash, fields: Fields): void {
  const path = readList(fields["traceAddress"], "A trace's address");
  const frame = readFlatFrame(fields);
  if (path.length === 0) {
    if (trees.has(transactionHash))
      throw new AnswerRefused("A transaction has two outermost calls", { transactionHash });
    trees.set(transactionHash, frame);
    return;
  }
  let parent = trees.get(transactionHash);
  for (const step of path.slice(0, -1)) parent = parent?.calls[Number(step)];
  if (parent === undefined || parent.calls.length !== Number(path.at(-1))) {
    throw new AnswerRefused("A trace is not complete", { transactionHash });
  }
  parent.calls.push(frame);
}

function readFlatFrame(fields: Fields): GrowingFrame {
  const action = readFields(fields["action"], "A trace's action");
  const error = typeof fields["error"] === "string" ? fields["error"] : null;
  if (fields["type"] === "suicide" || fields["type"] === "selfdestruct") {
    return frameOf("SELFDESTRUCT", readAddress(action, "address"), readAddress(action, "refundAddress"), {
      value: readQuantity(action, "balance"),
      error,
    });
  }
  const from = readAddress(action, "from");
  const value = readQuantity(action, "value");
  if (fields["type"] === "create") {
    const result = fields["result"];
    return frameOf("CREATE", from, isFields(result) ? readOptionalAddress(result, "address") : null, {
      value,
      error,
    });
  }
  const callType = action["callType"];
  if (fields["type"] !== "call" || typeof callType !== "string") {
    throw new AnswerRefused("A trace is of an unknown type", { type: String(fields["type"]) });
  }
  return frameOf(callType.toUpperCase(), from, readAddress(action, "to"), { value, error });
}

function frameOf(
  type: string,
  from: Address,
  to: Address | null,
  rest: { value: Quantity; error: string | null },
): GrowingFrame {
  const frame: GrowingFrame = { type, from, to, ...rest, calls: [] };
  expectTraceable({ ...frame });
  return frame;
}
