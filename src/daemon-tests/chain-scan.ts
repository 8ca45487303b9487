/**
 * What a chain itself says was deposited: every block from genesis to the head, read with viem and nothing of
 * the daemon's own scanning.
 */
import { parseEventLogs } from "viem";
import type { Address } from "../core/hex.ts";
import { tokenAbi } from "../testing/contracts.ts";
import type { TestNode } from "../testing/test-node.ts";

export interface ChainDeposit {
  readonly to: Address;
  /** `null` for the native coin. */
  readonly token: Address | null;
  readonly amountBaseUnits: bigint;
  readonly txHash: string;
  readonly blockNumber: bigint;
}

export interface ScanOptions {
  /** Value that contracts moved too, by `trace_block`. */
  readonly innerCalls?: boolean;
}

/** Every movement of value to one of these addresses on the canonical chain, whatever its size. */
export async function scanChain(
  anvil: TestNode,
  watched: readonly Address[],
  tokens: readonly Address[],
  options: ScanOptions = {},
): Promise<ChainDeposit[]> {
  const addresses = new Set(watched.map((address) => address.toLowerCase()));
  const listed = new Set(tokens.map((token) => token.toLowerCase()));
  const { number: head } = await anvil.head();
  const found: ChainDeposit[] = [];
  for (let blockNumber = 0n; blockNumber <= head; blockNumber++) {
    const block = await anvil.client.getBlock({ blockNumber, includeTransactions: true });
    for (const transaction of block.transactions) {
      const receipt = await anvil.client.getTransactionReceipt({ hash: transaction.hash });
      if (receipt.status !== "success") continue;
      const seenIn = { txHash: transaction.hash, blockNumber };
      if (transaction.value > 0n && addresses.has(String(transaction.to))) {
        found.push({
          ...seenIn,
          to: transaction.to as Address,
          token: null,
          amountBaseUnits: transaction.value,
        });
      }
      for (const log of parseEventLogs({ abi: tokenAbi, logs: receipt.logs, eventName: "Transfer" })) {
        const to = log.args.to.toLowerCase() as Address;
        const token = log.address.toLowerCase() as Address;
        if (!listed.has(token) || !addresses.has(to) || log.args.value === 0n) continue;
        found.push({ ...seenIn, to, token, amountBaseUnits: log.args.value });
      }
    }
    if (options.innerCalls === true) found.push(...(await scanInnerCalls(anvil, blockNumber, addresses)));
  }
  return found;
}

interface FlatTrace {
  readonly type: string;
  readonly action: { readonly callType?: string; readonly to?: Address; readonly value?: string };
  readonly error?: string;
  readonly traceAddress: readonly number[];
  readonly transactionHash: string;
}

async function scanInnerCalls(
  anvil: TestNode,
  blockNumber: bigint,
  addresses: ReadonlySet<string>,
): Promise<ChainDeposit[]> {
  const traces = await anvil.request<FlatTrace[]>("trace_block", [`0x${blockNumber.toString(16)}`]);
  const failed = traces.filter((trace) => trace.error !== undefined && trace.error !== null);
  const isUndone = (trace: FlatTrace) =>
    failed.some(
      (each) =>
        each.transactionHash === trace.transactionHash &&
        each.traceAddress.every((step, depth) => trace.traceAddress[depth] === step),
    );
  return traces.flatMap((trace) => {
    const { callType, to, value } = trace.action;
    const isInner = trace.type === "call" && callType === "call" && trace.traceAddress.length > 0;
    if (!isInner || to === undefined || !addresses.has(to) || BigInt(value ?? 0) === 0n || isUndone(trace))
      return [];
    const amountBaseUnits = BigInt(value ?? 0);
    return [{ to, token: null, amountBaseUnits, txHash: trace.transactionHash, blockNumber }];
  });
}

/** Sums by `address:token`, with `native` for the coin. */
export function totalsOf(deposits: readonly ChainDeposit[]): Record<string, bigint> {
  const totals: Record<string, bigint> = {};
  for (const { to, token, amountBaseUnits } of deposits) {
    const key = `${to}:${token ?? "native"}`;
    totals[key] = (totals[key] ?? 0n) + amountBaseUnits;
  }
  return totals;
}
