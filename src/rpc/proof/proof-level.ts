/**
 * How much of a block's answer is proved, and what follows from it.
 *
 * | level    | holds                                                                                             |
 * | -------- | ------------------------------------------------------------------------------------------------- |
 * | `proved` | The header makes the block's hash. The receipts make its receipts root, the withdrawals its         |
 * |          | withdrawals root, and the transactions its transactions root, unless one is of a type that cannot |
 * |          | be encoded here or the transactions were not asked for.                                            |
 * | `bloom`  | The logs make the bloom in the header. It shows most omissions, in quiet blocks, and no amount.    |
 * | `none`   | Nothing beyond the agreement of the answer with itself.                                            |
 *
 * "Proved" is: true if the block of this hash is. Which block is the chain's is another question, which other
 * nodes answer as witnesses of the hash. What no level covers:
 *
 * - inner calls: a trace stands in no root;
 * - the sender of a transaction, until `proveSender`, unless the transaction makes a contract and sends it value;
 * - where `transactions` is not proved, which hash belongs to which receipt, and so the hash that a token
 *   deposit is named by. `sure` says what holds for each kind of deposit.
 */
import type { Verification } from "../../core/verification.ts";
import { type Fields, isFields } from "../answer.ts";
import { proveAgreement } from "./agreement.ts";
import { blockShape } from "./block-shape.ts";
import { findType, OP_DEPOSIT } from "./envelope-type.ts";
import { proveHeaderHash } from "./header-hash.ts";
import { proveBlooms } from "./logs-bloom.ts";
import { attempt, PROVED, type Proof, unproved } from "./proof.ts";
import { proveReceiptsRoot } from "./receipts-root.ts";
import { createRlpWriter, type RlpWriter } from "./rlp.ts";
import { proveTransactionsRoot } from "./transactions-root.ts";
import { proveWithdrawalsRoot } from "./withdrawals-root.ts";

/**
 * Each part but the header is proved against what the header says, whether or not the header itself is proved.
 * `bloom` is looked at only in a block that is not `proved`, and else `not_asked`.
 */
export const PROOF_PARTS = ["header", "receipts", "transactions", "withdrawals", "bloom"] as const;
export type ProofPart = (typeof PROOF_PARTS)[number];

/** A block as JSON.parse gave it. */
export interface RawBlock {
  /** All of the block's answer; only the header's fields are read. */
  readonly header: unknown;
  /** In full; `null` where only receipts were asked for. */
  readonly transactions: readonly unknown[] | null;
  /** `receipts[i]` belongs to `transactions[i]`. */
  readonly receipts: readonly unknown[];
  /** The block's own list; `null` or `undefined` on a chain that has none. */
  readonly withdrawals: unknown;
  /** Transactions whose hash is to be proved, by their places; all of them if it is not given. */
  readonly named?: ReadonlySet<number> | undefined;
}

export interface BlockProof {
  readonly level: Verification;
  readonly parts: Readonly<Record<ProofPart, Proof>>;
  /** What the block's hash proves. */
  readonly sure: {
    /** Token transfers: contract, sender, recipient and amount of each log, its place, and that none is missing. */
    readonly tokenLogs: boolean;
    /** The value of each transaction, its recipient, and whether it succeeded; its hash. */
    readonly nativeValue: boolean;
    /** Which transaction each log and value belongs to; of those that are `named`. */
    readonly transactionHashes: boolean;
    readonly withdrawals: boolean;
  };
  /** One sentence for each part that was looked at and is not proved. */
  readonly unproved: readonly string[];
  /** See `blockShape`. */
  readonly shape: readonly string[];
  readonly transactionCount: number;
  readonly logCount: number;
}

/** Never throws for what a node said. */
export function proveBlock(raw: RawBlock, writer: RlpWriter = createRlpWriter()): BlockProof {
  const header = isFields(raw.header) ? raw.header : {};
  const receipts = proveReceiptsRoot(writer, raw.receipts, header["receiptsRoot"]);
  const rooted = {
    header: proveHeaderHash(writer, header),
    receipts,
    transactions: proveTransactions(writer, raw, header),
    withdrawals: proveWithdrawals(writer, raw, header, receipts),
  };
  const isRooted = hasRoots(rooted);
  const bloom = isRooted ? NOT_ASKED : attempt(writer, () => proveBlooms(raw.receipts, header["logsBloom"]));
  const parts = { ...rooted, bloom };
  return {
    level: isRooted ? "proved" : bloom.isProved ? "bloom" : "none",
    parts,
    sure: {
      tokenLogs: areProved(parts, "header", "receipts"),
      nativeValue: areProved(parts, "header", "receipts", "transactions"),
      transactionHashes: areProved(parts, "header", "transactions"),
      withdrawals: areProved(parts, "header", "withdrawals"),
    },
    unproved: PROOF_PARTS.flatMap((part) => reasonOf(parts[part])),
    shape: blockShape(header, raw.receipts),
    transactionCount: raw.receipts.length,
    logCount: countLogs(raw.receipts),
  };
}

const NOT_ASKED = unproved("not_asked", "It was not asked for");

function proveTransactions(writer: RlpWriter, raw: RawBlock, header: Fields): Proof {
  if (raw.transactions === null) return NOT_ASKED;
  const agreement = proveAgreement(writer, raw.transactions, raw.receipts);
  if (!agreement.isProved) return agreement;
  return proveTransactionsRoot(writer, raw.transactions, header["transactionsRoot"], raw.named);
}

/**
 * On the OP stack there are no validators' withdrawals, and since Isthmus `withdrawalsRoot` is the root of a
 * contract's storage. Such a block begins with a deposit, whose type its proved receipts hold.
 */
function proveWithdrawals(writer: RlpWriter, raw: RawBlock, header: Fields, receipts: Proof): Proof {
  const proof = proveWithdrawalsRoot(writer, raw.withdrawals, header["withdrawalsRoot"]);
  if (proof.isProved || !receipts.isProved) return proof;
  const [first] = raw.receipts;
  const isOpStack = isFields(first) && findType(first) === OP_DEPOSIT;
  return isOpStack && Array.isArray(raw.withdrawals) && raw.withdrawals.length === 0 ? PROVED : proof;
}

type RootedParts = Readonly<Record<Exclude<ProofPart, "bloom">, Proof>>;

function hasRoots({ header, receipts, transactions, withdrawals }: RootedParts): boolean {
  const areTransactionsFine =
    transactions.isProved || transactions.doubt === "unknown" || transactions.doubt === "not_asked";
  return header.isProved && receipts.isProved && withdrawals.isProved && areTransactionsFine;
}

function areProved(parts: Readonly<Record<ProofPart, Proof>>, ...names: readonly ProofPart[]): boolean {
  return names.every((name) => parts[name].isProved);
}

function reasonOf(proof: Proof): string[] {
  return proof.isProved || proof.doubt === "not_asked" ? [] : [proof.reason];
}

function countLogs(receipts: readonly unknown[]): number {
  let count = 0;
  for (const receipt of receipts) {
    if (isFields(receipt) && Array.isArray(receipt["logs"])) count += receipt["logs"].length;
  }
  return count;
}
