/**
 * Before a chain is followed by `native.source: eip7708`: does it write a log for every native transfer at all? On a
 * chain that does not, not one native deposit would be found, and nothing else would be wrong.
 */
import { NATIVE_LOG_ADDRESS } from "../core/chain.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";

/** `unknown`: none of the newest blocks has a native transfer. */
export type NativeLogs = "written" | "missing" | "unknown";

export interface NativeLogsCheck {
  readonly chain: Pick<ChainConfig, "id" | "name" | "nativeSource" | "assets">;
  readonly nodes: Pick<ChainNodes, "head" | "blockByNumber">;
}

/** The newest; on a chain that is used one of them has a native transfer. */
const RECENT_BLOCKS = 16n;

/**
 * Raises the alarm where none are written. The chain is followed all the same: it may begin to write them with its next
 * fork, and its tokens are found. Asks nothing where the native coin is not found by its logs.
 */
export async function checkNativeLogs(
  { chain, nodes, logger }: NativeLogsCheck & { readonly logger: Pick<Logger, "error"> },
  signal?: AbortSignal,
): Promise<void> {
  if (!isFoundByLogs(chain) || (await findNativeLogs(nodes, signal)) !== "missing") return;
  logger.error("Native deposits are not found", { chain_id: chain.id, reason: missingText(chain.name) });
}

export function isFoundByLogs(chain: NativeLogsCheck["chain"]): boolean {
  return chain.nativeSource === "eip7708" && chain.assets.some(({ token }) => token === null);
}

export function missingText(chainName: string): string {
  return `${chainName} writes no logs for native transfers, but the chain's config asks for native.source: eip7708`;
}

/** What the newest native transfer tells. */
export async function findNativeLogs(
  nodes: NativeLogsCheck["nodes"],
  signal?: AbortSignal,
): Promise<NativeLogs> {
  const head = await nodes.head(signal);
  for (let number = head.number; number > 0n && number > head.number - RECENT_BLOCKS; number--) {
    const found = nativeLogsOf(await nodes.blockByNumber(number, signal));
    if (found !== "unknown") return found;
  }
  return "unknown";
}

/** EIP-7708: a transaction of a value above zero to another account writes one; what fails, or pays itself, does not. */
export function nativeLogsOf({ transactions, receipts }: FetchedBlock): NativeLogs {
  if (receipts.some(({ logs }) => logs.some(({ address }) => address === NATIVE_LOG_ADDRESS)))
    return "written";
  const hasPaid = transactions.some(
    ({ value, from, to }, index) =>
      BigInt(value) > 0n && to !== null && to !== from && receipts[index]?.status === "0x1",
  );
  return hasPaid ? "missing" : "unknown";
}
