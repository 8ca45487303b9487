/**
 * Every transfer of value in a block, whoever received it.
 *
 * What counts, and as which source:
 *
 * - `value`         the value of a transaction that succeeded; of a creation, to the contract it made
 * - `log:<i>`       an ERC-20 Transfer of any contract, `i` its position within the receipt
 * - `trace:<path>`  value moved by an inner call, where traces were fetched
 * - with EIP-7708 as the native source, its logs stand for both `value` and `trace`: never both ways at once
 * - `withdrawal:<n>` a validator's withdrawal (EIP-4895)
 *
 * Nothing of a failed transaction counts, nor does an amount of zero: anybody can emit those in another's name.
 */
import type { ListedTransfers, NativeSource, Transfer } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";
import type {
  FetchedBlock,
  FetchedReceipt,
  FetchedTransaction,
  FetchedWithdrawal,
} from "../rpc/fetched-block.ts";
import { innerTransfers } from "./inner-transfers.ts";
import { logTransfers } from "./log-transfers.ts";

const NOBODY: Address = `0x${"0".repeat(40)}`;
const WEI_PER_GWEI = 1_000_000_000n;

/** In the order of the block: transactions with their value, logs and inner calls; then withdrawals. */
export function extractTransfers(block: FetchedBlock, nativeSource: NativeSource = "value"): ListedTransfers {
  const transfers: Transfer[] = [];
  for (const [index, transaction] of block.transactions.entries()) {
    const receipt = block.receipts[index];
    if (receipt === undefined || !isSuccessful(receipt)) continue;
    const own = nativeSource === "value" ? valueTransfer(transaction, receipt) : null;
    if (own !== null) transfers.push(own);
    logTransfers(receipt, transaction.from, nativeSource, transfers);
    const trace = nativeSource === "value" ? block.traces?.[index] : undefined;
    if (trace !== undefined) transfers.push(...innerTransfers(transaction, trace));
  }
  for (const withdrawal of block.withdrawals) {
    const transfer = withdrawalTransfer(withdrawal);
    if (transfer !== null) transfers.push(transfer);
  }
  return { block: block.header, verification: block.verification, transfers };
}

/** Before Byzantium a receipt had a state root and no status; a failure there shows in nothing else. */
function isSuccessful(receipt: FetchedReceipt): boolean {
  if (receipt.status === undefined || receipt.status === null) return typeof receipt.root === "string";
  return receipt.status === "0x1";
}

function valueTransfer(transaction: FetchedTransaction, receipt: FetchedReceipt): Transfer | null {
  if (transaction.value === "0x0") return null;
  const amountBaseUnits = BigInt(transaction.value);
  const to = transaction.to ?? receipt.contractAddress;
  if (amountBaseUnits === 0n || to === null || to === undefined) return null;
  return {
    txHash: transaction.hash,
    source: "value",
    token: null,
    from: transaction.from,
    to,
    amountBaseUnits,
    sender: transaction.from,
  };
}

function withdrawalTransfer(withdrawal: FetchedWithdrawal): Transfer | null {
  const amountBaseUnits = BigInt(withdrawal.amount) * WEI_PER_GWEI;
  if (amountBaseUnits === 0n) return null;
  return {
    txHash: null,
    source: `withdrawal:${BigInt(withdrawal.index)}`,
    token: null,
    from: NOBODY,
    to: withdrawal.address,
    amountBaseUnits,
    sender: null,
  };
}
