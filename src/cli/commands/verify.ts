/** `verify`: the books against themselves, and deposits against the chain. It reads only, beside the daemon too. */
import { type AuditHead, isInAuditLog, readAuditHead } from "../../audit/audit-store.ts";
import { lowerOf } from "../../core/block-number.ts";
import { InputError } from "../../core/errors.ts";
import type { Database } from "../../db/database.ts";
import { firstBlockWithDeposits, listBlocksWithDeposits } from "../../deposits/reconcile-store.ts";
import { type DriftFindings, type DriftParts, findDrift } from "../../flow/balance-drift.ts";
import { type Difference, reconcileBlocks } from "../../flow/reconcile.ts";
import { type Breach, checkBooks, RULES } from "../../flow/verify-store.ts";
import { createChainNodes } from "../../rpc/chain-nodes.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { ChainConfig } from "../../runtime/config/config.ts";
import { systemRandom } from "../../runtime/random.ts";
import { findChainState } from "../../scanner/chain-store.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { driftJson, driftText } from "../drift-text.ts";
import { EXIT } from "../exit-code.ts";
import { knownAssets } from "../policy-preview.ts";
import { type Setup, setUp } from "../setup.ts";
import { withDatabase } from "../with-database.ts";

export interface VerifyArguments {
  readonly chain?: string;
  readonly sample: string;
  readonly all: boolean;
  readonly booksOnly: boolean;
  readonly balances: boolean;
  readonly auditHead?: string;
}

interface ChainFindings {
  readonly chainId: number;
  readonly blockCount: number;
  readonly differences: readonly Difference[];
  /** Where it was asked for. No fault by itself. */
  readonly drift: DriftFindings | null;
}

/** Exits with 1 when something differs. @throws {InputError} `invalid_request` */
export async function verifyCommand(
  options: GlobalOptions,
  given: VerifyArguments,
  onProgress: (done: number, total: number) => void,
): Promise<CommandResult> {
  if (!/^\d{1,7}$/.test(given.sample)) {
    throw new InputError("invalid_request", "--sample must be a number of blocks", { value: given.sample });
  }
  if (given.auditHead !== undefined && !/^[0-9a-f]{64}$/i.test(given.auditHead)) {
    throw new InputError("invalid_request", "--audit-head must be the hash of a row, 64 hexadecimal digits");
  }
  const setup = await setUp(options);
  const chains = setup.config.chains.filter(
    ({ id }) => given.chain === undefined || String(id) === given.chain,
  );
  if (chains.length === 0) {
    throw new InputError("invalid_request", `The config has no chain ${given.chain}`, { chain: given.chain });
  }
  const { breaches, auditHead, findings } = await withDatabase(setup, async (database) => ({
    breaches: [...(await checkBooks(database)), ...(await checkHead(database, given.auditHead))],
    auditHead: await readAuditHead(database),
    findings: given.booksOnly ? [] : await reconcileAll(setup, database, chains, given, onProgress),
  }));
  const isWell = breaches.length === 0 && findings.every(({ differences }) => differences.length === 0);
  return {
    exitCode: isWell ? EXIT.done : EXIT.failed,
    json: JSON.parse(
      JSON.stringify({ ok: isWell, breaches, auditHead, chains: findings.map(chainJson) }, withoutBigints),
    ),
    text: [booksText(breaches), auditText(auditHead), ...findings.map(chainText)].join("\n"),
  };
}

/** A log whose end was cut off and whose head was mended to fit still cannot hold a row that was noted down elsewhere. */
async function checkHead(database: Database, hash: string | undefined): Promise<Breach[]> {
  if (hash === undefined || (await isInAuditLog(database, hash))) return [];
  const says = "The head that was noted down is a row of the audit log";
  return [{ rule: "audit_head_gone", says, rows: [{ hash }], isMore: false }];
}

async function reconcileAll(
  setup: Setup,
  database: Database,
  chains: readonly ChainConfig[],
  given: VerifyArguments,
  onProgress: (done: number, total: number) => void,
): Promise<ChainFindings[]> {
  const findings: ChainFindings[] = [];
  for (const chain of chains) findings.push(await reconcileChain(setup, database, chain, given, onProgress));
  return findings;
}

async function reconcileChain(
  { logger }: Setup,
  database: Database,
  chain: ChainConfig,
  given: VerifyArguments,
  onProgress: (done: number, total: number) => void,
): Promise<ChainFindings> {
  const blocks = await chooseBlocks(database, chain.id, given);
  // Another node than the one that is followed, where there is one.
  const independent = { ...chain, nodes: chain.nodes.slice(-1) };
  const nodes = createChainNodes({ chain: independent, clock: systemClock, logger });
  try {
    const assets = await knownAssets(database, chain);
    let done = 0;
    const differences = await reconcileBlocks(
      { database, chain, assets, nodes: nodes.backfill },
      blocks,
      () => {
        done += 1;
        onProgress(done, blocks.length);
      },
    );
    const drift = given.balances
      ? await driftOf({ database, chainId: chain.id, assets, nodes }, given, onProgress)
      : null;
    return { chainId: chain.id, blockCount: blocks.length, differences, drift };
  } finally {
    await nodes.close();
  }
}

async function driftOf(
  parts: DriftParts,
  given: VerifyArguments,
  onProgress: (done: number, total: number) => void,
): Promise<DriftFindings | null> {
  const at = await lastFinalBlock(parts.database, parts.chainId);
  if (at === null) return null;
  const sample = Number(given.sample);
  // Of all addresses nobody has counted how many there are.
  const onLooked = (count: number) => (given.all ? undefined : onProgress(Math.min(count, sample), sample));
  return findDrift(parts, at, given.all ? null : sample, onLooked);
}

/** Or the cursor where the chain tells of none; `null` before the first block. */
async function lastFinalBlock(database: Database, chainId: number): Promise<bigint | null> {
  const state = await findChainState(database, chainId);
  if (state === undefined || state.cursorNumber === null) return null;
  return lowerOf(state.finalizedNumber ?? state.cursorNumber, state.cursorNumber);
}

/** Up to the last final block. Half of a sample holds deposits. */
async function chooseBlocks(database: Database, chainId: number, given: VerifyArguments): Promise<bigint[]> {
  const to = await lastFinalBlock(database, chainId);
  const first = await firstBlockWithDeposits(database, chainId);
  if (to === null || first === null || first > to) return [];
  const count = Number(to - first) + 1;
  const sample = Number(given.sample);
  if (given.all || count <= sample) return Array.from({ length: count }, (_, index) => first + BigInt(index));
  const held = await listBlocksWithDeposits(database, chainId, to, Math.ceil(sample / 2));
  const random = Array.from({ length: sample - held.length }, () => first + BigInt(randomBelow(count)));
  return [...new Set([...held, ...random])].sort((a, b) => (a < b ? -1 : 1));
}

function randomBelow(limit: number): number {
  return systemRandom.bytes(6).readUIntBE(0, 6) % limit;
}

function booksText(breaches: readonly Breach[]): string {
  if (breaches.length === 0) return `The books hold: ${RULES.length} rules, none broken.`;
  return breaches
    .flatMap(({ rule, says, rows, isMore }) => [
      `${rule}: not so: ${says}`,
      ...rows.map((row) => `  ${JSON.stringify(row, withoutBigints)}`),
      ...(isMore ? ["  and more"] : []),
    ])
    .join("\n");
}

function chainText(findings: ChainFindings): string {
  return [blocksText(findings), ...(findings.drift === null ? [] : [driftText(findings.drift)])].join("\n");
}

function chainJson({ drift, ...findings }: ChainFindings): object {
  return { ...findings, balances: drift === null ? null : driftJson(drift) };
}

function auditText({ sequence, hash }: AuditHead): string {
  return `The audit log has ${sequence} rows; its head is ${hash}.`;
}

function blocksText({ chainId, blockCount, differences }: ChainFindings): string {
  if (differences.length === 0)
    return `Chain ${chainId}: ${blockCount} blocks looked at, all as the chain says.`;
  return [
    `Chain ${chainId}: ${blockCount} blocks looked at, ${differences.length} differences`,
    ...differences.map(
      (each) =>
        `  block ${each.blockNumber} ${each.kind} ${each.depositId ?? ""} the chain: ${each.chainSays ?? "nothing"}; we: ${each.weSay ?? "nothing"}`,
    ),
  ].join("\n");
}

function withoutBigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
