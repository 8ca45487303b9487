/**
 * The transfer to a watched address that a waiting transaction asks for.
 *
 * Looked for are the transaction's own value, and `transfer` and `transferFrom` called directly on a listed token.
 * What a transaction will do inside other contracts (batchers, multisigs, swaps) shows only when it is mined, and is
 * not looked for here; it becomes a deposit like any other.
 */
import type { Address } from "../core/hex.ts";
import type { PendingTransfer } from "../core/seen-payment.ts";
import type { PendingTransaction } from "../rpc/mempool/pending-transaction.ts";
import type { AddressTable } from "./address-table.ts";

/** `transfer(address,uint256)` and `transferFrom(address,address,uint256)`, EIP-20. */
const TRANSFER = "0xa9059cbb";
const TRANSFER_FROM = "0x23b872dd";

const SELECTOR_LENGTH = TRANSFER.length;
const WORD_LENGTH = 64;
const WORD = /^[0-9a-f]{64}$/i;
const ADDRESS_WORD = /^0{24}[0-9a-f]{40}$/i;

/** Every pending transfer whose recipient may be watched; the database confirms each. */
export function matchPending(
  transactions: readonly PendingTransaction[],
  tokens: ReadonlySet<Address>,
  table: AddressTable,
): PendingTransfer[] {
  return transactions.flatMap((transaction) =>
    pendingTransfers(transaction, tokens).filter((transfer) => table.mayContain(transfer.to)),
  );
}

/** One transaction may ask for two: coins to a listed token's contract, and a transfer of that token. */
export function pendingTransfers(
  transaction: PendingTransaction,
  tokens: ReadonlySet<Address>,
): PendingTransfer[] {
  const { hash: txHash, from: sender, to, nonce, valueWei, input } = transaction;
  if (to === null) return [];
  const found: PendingTransfer[] = [];
  if (valueWei > 0n) {
    const moved = { token: null, from: sender, to, amountBaseUnits: valueWei };
    found.push({ txHash, source: "value", ...moved, sender, nonce });
  }
  const call = tokens.has(to) ? readTransferCall(input, sender) : null;
  if (call !== null) found.push({ txHash, source: "call", token: to, ...call, sender, nonce });
  return found;
}

type TransferCall = Pick<PendingTransfer, "from" | "to" | "amountBaseUnits">;

/** More words than the call needs are what contracts ignore too; an address with dirty upper bytes is refused. */
function readTransferCall(input: string, sender: Address): TransferCall | null {
  const selector = input.slice(0, SELECTOR_LENGTH).toLowerCase();
  if (selector === TRANSFER) return transferCall(sender, addressAt(input, 0), amountAt(input, 1));
  if (selector !== TRANSFER_FROM) return null;
  return transferCall(addressAt(input, 0), addressAt(input, 1), amountAt(input, 2));
}

function transferCall(from: Address | null, to: Address | null, amount: bigint | null): TransferCall | null {
  if (from === null || to === null || amount === null || amount === 0n) return null;
  return { from, to, amountBaseUnits: amount };
}

function wordAt(input: string, index: number): string {
  const start = SELECTOR_LENGTH + index * WORD_LENGTH;
  return input.slice(start, start + WORD_LENGTH);
}

function addressAt(input: string, index: number): Address | null {
  const word = wordAt(input, index);
  return ADDRESS_WORD.test(word) ? `0x${word.slice(24).toLowerCase()}` : null;
}

function amountAt(input: string, index: number): bigint | null {
  const word = wordAt(input, index);
  return WORD.test(word) ? BigInt(`0x${word}`) : null;
}
