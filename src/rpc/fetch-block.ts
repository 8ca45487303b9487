/**
 * Fetches a whole block from one node: block, receipts and, where they are wanted, traces. Everything is pinned
 * to the block's hash and checked against it. What a node does not offer is found out once and remembered.
 */
import { FatalError } from "../core/errors.ts";
import type { Hash } from "../core/hex.ts";
import type { BlockVerification } from "../core/verification.ts";
import { AnswerRefused } from "./answer.ts";
import { type AskedBlock, blockNumberParameter, type CheckedBlock, checkBlock } from "./check-block.ts";
import { checkReceipts } from "./check-receipts.ts";
import { checkCallTraces, checkFlatTraces } from "./check-traces.ts";
import type {
  CallFrame,
  FetchedBlock,
  FetchedReceipt,
  FetchedTransaction,
  Quantity,
} from "./fetched-block.ts";
import { type Ask, isMethodMissing } from "./json-rpc.ts";
import { type BlockProof, proveBlock, type RawBlock } from "./proof/proof-level.ts";

/** How this node gives receipts and traces; found out at first use. */
export interface NodeAbilities {
  /** All of a block at once, or one by one. */
  receipts: "eth_getBlockReceipts" | "eth_getTransactionReceipt";
  traces: "debug_traceBlockByHash" | "trace_block";
}

export interface BlockSource {
  readonly ask: Ask;
  readonly abilities: NodeAbilities;
  readonly internal: "trace" | "none";
  /**
   * Proves what was told, as far as the chain allows.
   *
   * @throws {AnswerRefused} when it proves less than it must
   */
  readonly verify: (number: bigint, block: RawBlock) => BlockVerification;
  /** For messages. */
  readonly nodeName: string;
}

/**
 * Whether a transaction's hash has to be proved. A root proves everything else that it says; its hash is one more to be
 * computed, and only a deposit is named by it.
 */
export type IsNameWanted = (transaction: FetchedTransaction, receipt: FetchedReceipt) => boolean;

export function freshAbilities(): NodeAbilities {
  return { receipts: "eth_getBlockReceipts", traces: "debug_traceBlockByHash" };
}

const RECEIPTS_AT_ONCE = 8;
const CALL_TRACER = { tracer: "callTracer" };

/** All parts are asked for at once, since the hash is known. */
export async function fetchBlockByHash(
  source: BlockSource,
  hash: Hash,
  signal?: AbortSignal,
): Promise<FetchedBlock> {
  const [answer, receipts, traces] = await Promise.all([
    source.ask("eth_getBlockByHash", [hash, true], signal),
    askReceipts(source, hash, signal),
    askTraces(source, hash, signal),
  ]);
  return assemble(source, checkGivenBlock(answer, { hash }), receipts, traces, signal);
}

/**
 * Its receipts are asked for at once, by the number too: each names its block's hash, so those of another branch are
 * refused. To wait with them until the hash is known would take as long again, and keep each block's thousands of
 * strings alive meanwhile. A node that does not give them by number is asked by hash.
 */
export async function fetchBlockByNumber(
  source: BlockSource,
  number: bigint,
  signal?: AbortSignal,
  isNameWanted?: IsNameWanted,
): Promise<FetchedBlock> {
  const parameter = blockNumberParameter(number);
  const [answer, byNumber] = await Promise.all([
    source.ask("eth_getBlockByNumber", [parameter, true], signal),
    askReceipts(source, parameter, signal).catch(() => null), // by hash it is told what is wrong
  ]);
  const block = checkGivenBlock(answer, { number });
  const receipts = byNumber ?? (await askReceipts(source, block.header.hash, signal));
  const traces = await askTraces(source, block.header.hash, signal);
  return assemble(source, block, receipts, traces, signal, isNameWanted);
}

/** How much of a block the node's answer proves. Whether that is enough is for another to say. */
export async function fetchProof(
  source: Pick<BlockSource, "ask" | "abilities">,
  number: bigint,
  signal?: AbortSignal,
): Promise<BlockProof> {
  const answer = await source.ask("eth_getBlockByNumber", [blockNumberParameter(number), true], signal);
  const block = checkGivenBlock(answer, { number });
  const receipts = await askReceipts(source, block.header.hash, signal);
  return proveBlock(rawBlock(block, await readReceipts(source.ask, block, receipts, signal)));
}

/** `null` means that the node has no such block; whoever asks for a whole block has seen that it exists. */
function checkGivenBlock(answer: unknown, asked: AskedBlock): CheckedBlock {
  if (answer === null) throw new AnswerRefused("The node has not the block it was asked for", { ...asked });
  return checkBlock(answer, asked);
}

/** Marks an answer that the node cannot give at once for the whole block, or not by hash. */
const ONE_BY_ONE = Symbol("one by one");

async function assemble(
  source: BlockSource,
  block: CheckedBlock,
  receiptsAnswer: unknown,
  tracesAnswer: unknown,
  signal?: AbortSignal,
  isNameWanted?: IsNameWanted,
): Promise<FetchedBlock> {
  const receipts = await readReceipts(source.ask, block, receiptsAnswer, signal);
  const named = isNameWanted === undefined ? undefined : placesOf(block, receipts, isNameWanted);
  const verification = source.verify(block.header.number, { ...rawBlock(block, receipts), named });
  return {
    header: block.header,
    verification,
    named,
    transactions: block.transactions,
    receipts,
    withdrawals: block.withdrawals,
    traces:
      source.internal === "none" ? null : await readTraces(source, block, receipts, tracesAnswer, signal),
  };
}

function placesOf(
  { transactions }: CheckedBlock,
  receipts: readonly FetchedReceipt[],
  isWanted: IsNameWanted,
): ReadonlySet<number> {
  const places = new Set<number>();
  for (let place = 0; place < transactions.length; place++) {
    const transaction = transactions[place];
    const receipt = receipts[place];
    if (transaction !== undefined && receipt !== undefined && isWanted(transaction, receipt))
      places.add(place);
  }
  return places;
}

async function readReceipts(
  ask: Ask,
  block: CheckedBlock,
  answer: unknown,
  signal?: AbortSignal,
): Promise<FetchedReceipt[]> {
  return checkReceipts(answer === ONE_BY_ONE ? await askEachReceipt(ask, block, signal) : answer, block);
}

function rawBlock(block: CheckedBlock, receipts: readonly FetchedReceipt[]): RawBlock {
  const { answer, transactions } = block;
  return { header: answer, transactions, receipts, withdrawals: answer["withdrawals"] };
}

/** @param block its hash, or its number */
async function askReceipts(
  source: Pick<BlockSource, "ask" | "abilities">,
  block: Hash | Quantity,
  signal?: AbortSignal,
): Promise<unknown> {
  if (source.abilities.receipts === "eth_getTransactionReceipt") return ONE_BY_ONE;
  try {
    return await source.ask("eth_getBlockReceipts", [block], signal);
  } catch (rawError) {
    if (!isMethodMissing(rawError)) throw rawError;
    source.abilities.receipts = "eth_getTransactionReceipt";
    return ONE_BY_ONE;
  }
}

/** Not pinned by the question, but each receipt says which block it is of, and that is checked. */
async function askEachReceipt(ask: Ask, block: CheckedBlock, signal?: AbortSignal): Promise<unknown[]> {
  const receipts: unknown[] = new Array(block.transactions.length);
  const waiting = block.transactions.entries();
  const askNext = async () => {
    for (const [index, transaction] of waiting) {
      receipts[index] = await ask("eth_getTransactionReceipt", [transaction.hash], signal);
    }
  };
  await Promise.all(Array.from({ length: RECEIPTS_AT_ONCE }, askNext));
  return receipts;
}

async function askTraces(source: BlockSource, hash: Hash, signal?: AbortSignal): Promise<unknown> {
  if (source.internal === "none") return null;
  if (source.abilities.traces !== "debug_traceBlockByHash") return ONE_BY_ONE;
  try {
    return await source.ask("debug_traceBlockByHash", [hash, CALL_TRACER], signal);
  } catch (rawError) {
    if (!isMethodMissing(rawError)) throw rawError;
    source.abilities.traces = "trace_block";
    return ONE_BY_ONE;
  }
}

/** `trace_block` takes a number; its items name their block, so an answer from another branch is refused. */
async function readTraces(
  source: BlockSource,
  block: CheckedBlock,
  receipts: readonly FetchedReceipt[],
  answer: unknown,
  signal?: AbortSignal,
): Promise<readonly CallFrame[]> {
  if (answer !== ONE_BY_ONE) return checkCallTraces(answer, block, receipts);
  try {
    const flat = await source.ask("trace_block", [blockNumberParameter(block.header.number)], signal);
    return checkFlatTraces(flat, block, receipts);
  } catch (rawError) {
    if (!isMethodMissing(rawError)) throw rawError;
    source.abilities.traces = "debug_traceBlockByHash"; // asked again next time: an operator may have turned it on
    throw tracesMissing(source);
  }
}

/** Going on without would overlook every inner call in silence. */
export function tracesMissing(source: Pick<BlockSource, "nodeName">): FatalError {
  return new FatalError(
    "node_method_missing",
    `The node ${source.nodeName} offers neither debug_traceBlockByHash nor trace_block, but the chain's config asks for internal: trace`,
    { node: source.nodeName, method: "debug_traceBlockByHash, trace_block" },
  );
}
