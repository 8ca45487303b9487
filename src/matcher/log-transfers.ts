/**
 * ERC-20 transfers among the logs of a receipt.
 *
 * Taken are logs exactly as the standard makes them: `Transfer(address indexed, address indexed, uint256)`, three
 * topics and 32 bytes of data. Refused, because they say something else or nothing certain:
 *
 * - four topics: an ERC-721 token id, not an amount
 * - fewer topics: arguments that are not indexed, which ERC-20 forbids (some collectibles do it)
 * - no data, or more than 32 bytes
 * - topics whose upper twelve bytes are not zero: no address
 */
import { NATIVE_LOG_ADDRESS, type NativeSource, type Transfer } from "../core/chain.ts";
import { type Address, isHex } from "../core/hex.ts";
import type { FetchedLog, FetchedReceipt } from "../rpc/fetched-block.ts";

/** keccak256("Transfer(address,address,uint256)"), ERC-20 */
export const TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

const UPPER_BYTES = `0x${"0".repeat(24)}`;
const AMOUNT_DIGITS = 64;

/**
 * Adds the receipt's transfers to `transfers`. The logs that repeat native transfers (EIP-7708) are the native coin
 * where it is found by them, and nothing where it is found otherwise: it would be counted twice.
 */
export function logTransfers(
  receipt: FetchedReceipt,
  sender: Address,
  nativeSource: NativeSource,
  transfers: Transfer[],
): void {
  const { logs } = receipt;
  for (let position = 0; position < logs.length; position++) {
    const log = logs[position];
    if (log === undefined || log.topics[0] !== TRANSFER_TOPIC) continue;
    const transfer = decode(log, receipt, position, sender, nativeSource);
    if (transfer !== null) transfers.push(transfer);
  }
}

function decode(
  log: FetchedLog,
  receipt: FetchedReceipt,
  position: number,
  sender: Address,
  nativeSource: NativeSource,
): Transfer | null {
  const isNative = log.address === NATIVE_LOG_ADDRESS;
  if (log.topics.length !== 3 || (isNative && nativeSource !== "eip7708")) return null;
  const from = addressOf(log.topics[1]);
  const to = addressOf(log.topics[2]);
  if (from === null || to === null || !isHex(log.data, AMOUNT_DIGITS)) return null;
  const amountBaseUnits = BigInt(log.data);
  if (amountBaseUnits === 0n) return null;
  return {
    txHash: receipt.transactionHash,
    source: `log:${position}`,
    token: isNative ? null : log.address,
    from,
    to,
    amountBaseUnits,
    sender,
  };
}

function addressOf(topic: string | undefined): Address | null {
  if (topic === undefined || !topic.startsWith(UPPER_BYTES)) return null;
  return `0x${topic.slice(UPPER_BYTES.length)}`;
}
