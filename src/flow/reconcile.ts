/**
 * Reads only: compares the deposits of some blocks with what the chain says of them, both ways. The blocks are
 * fetched and searched anew, from a node of the caller's choice, and looked up in the addresses as they are now.
 */
import type { KnownAsset } from "../core/asset.ts";
import type { ListedTransfers, Transfer } from "../core/chain.ts";
import { depositId } from "../core/deposit-id.ts";
import type { Address } from "../core/hex.ts";
import type { Database } from "../db/database.ts";
import { type ChainDepositRow, listOwnersOf, listStandingDeposits } from "../deposits/reconcile-store.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import type { ChainQuestions } from "../rpc/node.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { listBlockRefs } from "../scanner/block-ref-store.ts";

export interface Difference {
  readonly kind: "missing" | "not_on_chain" | "differs" | "other_branch";
  readonly blockNumber: bigint;
  readonly depositId: string | null;
  readonly txHash: string | null;
  readonly source: string | null;
  readonly chainSays: string | null;
  readonly weSay: string | null;
}

export interface ReconcileParts {
  readonly database: Database;
  readonly chain: Pick<ChainConfig, "id" | "ownWallets" | "nativeSource">;
  readonly assets: readonly KnownAsset[];
  readonly nodes: Pick<ChainQuestions, "blockByNumber">;
  readonly signal?: AbortSignal;
}

/** @param blockNumbers blocks that the cursor has passed, and that no reorg will reach while this runs */
export async function reconcileBlocks(
  parts: ReconcileParts,
  blockNumbers: readonly bigint[],
  onBlock: () => void = () => undefined,
): Promise<Difference[]> {
  const kept = new Map(
    (await listBlockRefs(parts.database, parts.chain.id)).map((ref) => [ref.number, ref.hash]),
  );
  const differences: Difference[] = [];
  for (const blockNumber of blockNumbers) {
    const fetched = await parts.nodes.blockByNumber(blockNumber, parts.signal);
    const extracted = extractTransfers(fetched, parts.chain.nativeSource);
    const { hash } = extracted.block;
    const ours = kept.get(blockNumber) ?? hash;
    if (ours === hash) differences.push(...(await compareBlock(parts, extracted)));
    else differences.push({ ...nothing, kind: "other_branch", blockNumber, chainSays: hash, weSay: ours });
    onBlock();
  }
  return differences;
}

async function compareBlock(
  parts: ReconcileParts,
  { block, transfers }: ListedTransfers,
): Promise<Difference[]> {
  const { database, chain } = parts;
  const idOf = (transfer: Transfer) => depositId(chain.id, transfer.txHash, transfer.source);
  const standing = await listStandingDeposits(database, chain.id, block.number);
  const counted = transfers.filter((transfer) => isCounted(parts, transfer));
  const owners = await listOwnersOf(
    database,
    counted.map((transfer) => transfer.to),
    block.timestamp,
  );
  const missing = counted.flatMap((transfer) => {
    const owner = owners.get(transfer.to);
    return owner === undefined ? [] : compareTransfer(idOf(transfer), transfer, owner, standing);
  });
  const onChain = new Set(transfers.map(idOf));
  const invented = [...standing].filter(([id, ours]) => !onChain.has(id) && !ours.isIgnored);
  return [
    ...missing.map((difference) => ({ ...difference, blockNumber: block.number })),
    ...invented.map(([id, ours]) => ({
      kind: "not_on_chain" as const,
      blockNumber: block.number,
      depositId: id,
      txHash: ours.txHash,
      source: ours.source,
      chainSays: null,
      weSay: said(ours),
    })),
  ];
}

function isCounted({ assets, chain }: ReconcileParts, transfer: Transfer): boolean {
  const asset = assets.find((each) => each.token === transfer.token);
  return (
    asset !== undefined &&
    transfer.amountBaseUnits >= asset.minimumBaseUnits &&
    !chain.ownWallets.includes(transfer.from) &&
    transfer.from !== transfer.to
  );
}

/** A deposit to an address that was registered after its block is only there if somebody looked back. */
function compareTransfer(
  id: string,
  transfer: Transfer,
  owner: "before" | "later",
  standing: ReadonlyMap<string, ChainDepositRow>,
): Omit<Difference, "blockNumber">[] {
  const ours = standing.get(id);
  const { txHash, source } = transfer;
  const place = { depositId: id, txHash, source, chainSays: said(transfer) };
  if (ours === undefined) return owner === "later" ? [] : [{ ...place, kind: "missing", weSay: null }];
  if (said(ours) === said(transfer)) return [];
  return [{ ...place, kind: "differs", weSay: said(ours) }];
}

const said = (of: { readonly amountBaseUnits: bigint; readonly to: Address }) =>
  `${of.amountBaseUnits} to ${of.to}`;

const nothing = { depositId: null, txHash: null, source: null };
