/**
 * A block as a node told it, after every part was checked against the others. Fields are the node's own hex
 * strings: hashes and addresses in lower case, quantities unparsed, because most of them are never looked at.
 */
import type { BlockHeader } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import type { BlockVerification } from "../core/verification.ts";

/** A number as nodes write it: `0x` and hexadecimal digits. */
export type Quantity = `0x${string}`;

export interface FetchedBlock {
  readonly header: BlockHeader;
  readonly verification: BlockVerification;
  /** Only the hashes of these transactions were asked to be proved; of all if it is not given. */
  readonly named?: ReadonlySet<number> | undefined;
  readonly transactions: readonly FetchedTransaction[];
  /** `receipts[i]` belongs to `transactions[i]`. */
  readonly receipts: readonly FetchedReceipt[];
  readonly withdrawals: readonly FetchedWithdrawal[];
  /** `traces[i]` is the outermost call of `transactions[i]`; `null` when inner calls are not looked for. */
  readonly traces: readonly CallFrame[] | null;
}

export interface FetchedTransaction {
  readonly hash: Hash;
  readonly from: Address;
  /** `null` makes a contract. */
  readonly to: Address | null;
  readonly value: Quantity;
}

export interface FetchedReceipt {
  readonly transactionHash: Hash;
  /** Before Byzantium (2017) there was none, but `root`. */
  readonly status?: "0x0" | "0x1" | null;
  readonly root?: Hash | null;
  readonly contractAddress?: Address | null;
  readonly logs: readonly FetchedLog[];
}

export interface FetchedLog {
  readonly address: Address;
  readonly topics: readonly Hash[];
  /** Begins with `0x`; whether the rest are hexadecimal digits is for the one who decodes it to see. */
  readonly data: string;
}

/** A validator's withdrawal (EIP-4895). */
export interface FetchedWithdrawal {
  readonly index: Quantity;
  readonly address: Address;
  /** In gwei. */
  readonly amount: Quantity;
}

/** One call as geth's `callTracer` tells it. */
export interface CallFrame {
  /** `CALL`, `DELEGATECALL`, `CREATE2`, `SELFDESTRUCT`, … */
  readonly type: string;
  readonly from: Address;
  /** A failed creation has none. */
  readonly to?: Address | null;
  readonly value?: Quantity | null;
  /** Set when the call failed: nothing in it, nor below it, has happened. */
  readonly error?: string | null;
  readonly calls?: readonly CallFrame[] | null;
}
