/** `rescan` and `chain resume`: an operator's hand on a chain. Both may be used beside the running daemon. */
import { appendAudit } from "../../audit/audit-store.ts";
import { FatalError, InputError } from "../../core/errors.ts";
import { parseAddress } from "../../core/hex.ts";
import type { Database } from "../../db/database.ts";
import { ingestContextOf } from "../../flow/ingest-context.ts";
import { registerChains } from "../../flow/register-chains.ts";
import { rescan } from "../../flow/rescan.ts";
import { resumeChain } from "../../flow/resume-chain.ts";
import { restoreVerification } from "../../flow/verification.ts";
import { loadAddressWatch } from "../../flow/watch-addresses.ts";
import { type ChainNodes, createChainNodes } from "../../rpc/chain-nodes.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { ChainConfig } from "../../runtime/config/config.ts";
import { systemRandom } from "../../runtime/random.ts";
import { actingAs } from "../acting.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { type Setup, setUp } from "../setup.ts";
import { withDatabase } from "../with-database.ts";

export interface RescanArguments {
  readonly chain: string;
  readonly from: string;
  readonly to: string;
  readonly address?: string;
}

/** @param onProgress for a terminal @throws {InputError} `invalid_request` */
export async function rescanCommand(
  options: GlobalOptions,
  given: RescanArguments,
  onProgress: (scanned: number, total: number) => void,
): Promise<CommandResult> {
  const span = { from: parseBlockNumber(given.from, "--from"), to: parseBlockNumber(given.to, "--to") };
  const only =
    given.address === undefined ? undefined : new Map([[parseAddress(given.address, "--address"), span]]);
  const result = await onChain(options, given.chain, async ({ setup, database, chain, nodes }) => {
    const actor = await actingAs(setup, database);
    const { assets } = await registerChains(database, [chain], setup.logger);
    const watch = await loadAddressWatch(database, systemRandom);
    const screening = () => setup.config.review.screening;
    const context = ingestContextOf(database, chain, () => assets.get(chain.id) ?? [], watch, screening);
    await restoreVerification(database, nodes);
    const onBegin = () =>
      appendAudit(database, {
        actor,
        action: "chain.rescan",
        subject: `chain:${chain.id}`,
        detail: { from: Number(span.from), to: Number(span.to), address: given.address ?? null },
      });
    return rescan({ context, chain, nodes: nodes.backfill, onBegin, onProgress }, { ...span, only });
  });
  const found = result.deposits.map(({ id, userId, status }) => ({ id, userId, status }));
  return {
    exitCode: EXIT.done,
    json: { chainId: Number(given.chain), blocks: result.blockCount, deposits: found },
    text: [
      `Scanned ${result.blockCount} blocks; found ${found.length} deposits that were not there.`,
      ...found.map(({ id, userId, status }) => `${id}  ${status}  ${userId}`),
    ].join("\n"),
  };
}

/** @throws {InputError} `invalid_request` when the chain is not halted, or the branches part below `from` */
export async function resumeChainCommand(
  options: GlobalOptions,
  given: { readonly chain: string; readonly from: string },
): Promise<CommandResult> {
  const from = parseBlockNumber(given.from, "--from");
  const undone = await onChain(options, given.chain, async ({ setup, database, nodes }) =>
    resumeChain({ database, nodes, actor: await actingAs(setup, database) }, from),
  );
  return {
    exitCode: EXIT.done,
    json: {
      chainId: Number(given.chain),
      from: Number(from),
      sameUpTo: undone.sameUpTo === null ? null : Number(undone.sameUpTo),
      orphaned: undone.orphaned.map(({ id }) => id),
      reversed: undone.reversed.map(({ id }) => id),
    },
    text: [
      `Chain ${given.chain} goes on from block ${from}. Deposits that left with the old branch: ` +
        `${undone.orphaned.length} orphaned, ${undone.reversed.length} reversed.`,
      ...unsureText(given.chain, from, undone.sameUpTo),
    ].join("\n"),
  };
}

/** What a resume does not look at again, and how to. */
function unsureText(chain: string, from: bigint, sameUpTo: bigint | null): string[] {
  if (sameUpTo === from - 1n) return [];
  const since = sameUpTo === null ? "<first block that may differ>" : sameUpTo + 1n;
  const blocks = sameUpTo === null ? `the blocks below ${from}` : `blocks ${since} to ${from - 1n}`;
  return [
    `Nothing here shows that ${blocks} are the same on both branches. If they may differ:`,
    `  depositd rescan --chain ${chain} --from ${since} --to ${from - 1n}`,
  ];
}

interface OnChain {
  readonly setup: Setup;
  readonly database: Database;
  readonly chain: ChainConfig;
  readonly nodes: ChainNodes;
}

async function onChain<Result>(
  options: GlobalOptions,
  chainId: string,
  work: (parts: OnChain) => Promise<Result>,
): Promise<Result> {
  const setup = await setUp(options);
  const chain = setup.config.chains.find(({ id }) => String(id) === chainId);
  if (chain === undefined) {
    throw new FatalError("not_found", `The config has no chain ${chainId}`, { chain: chainId });
  }
  const nodes = createChainNodes({ chain, clock: systemClock, logger: setup.logger });
  try {
    return await withDatabase(setup, (database) => work({ setup, database, chain, nodes }));
  } finally {
    await nodes.close();
  }
}

function parseBlockNumber(text: string, path: string): bigint {
  if (/^\d{1,15}$/.test(text)) return BigInt(text);
  throw new InputError("invalid_request", `${path} must be a block number`, { path, value: text });
}
