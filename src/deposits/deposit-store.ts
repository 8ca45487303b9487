/**
 * Deposits and their status. A status changes in three statements only: `insertSeenDeposits` (new, or included
 * again), `moveDeposits`, and `recordMeasured` of `measure-store.ts` (too little has arrived); all expect the status and
 * sequence they start from.
 */
import { assertMove, type Deposit, type DepositStatus } from "../core/deposit.ts";
import { TemporaryError } from "../core/errors.ts";
import { bytesToHex, type Hash, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import { DEPOSIT_COLUMNS, type DepositRow, toDeposit } from "./deposit-row.ts";
import type { SeenDeposit, StoredThreshold } from "./judge-transfer.ts";

/** At once, which every time that has passed means. */
const isToMeasure = (seen: SeenDeposit) => seen.eventAmountBaseUnits !== null && seen.status === "pending";

/** Source columns of `insertSeenDeposits`, with their types in SQL and where they come from. */
const SEEN_COLUMNS: readonly (readonly [name: string, type: string, read: (seen: SeenDeposit) => unknown])[] =
  [
    ["id", "text", (seen) => seen.id],
    ["tx_hash", "bytea", (seen) => bytesOrNull(seen.transfer.txHash)],
    ["source", "text", (seen) => seen.transfer.source],
    ["asset_id", "integer", (seen) => seen.assetId],
    ["token", "bytea", (seen) => bytesOrNull(seen.transfer.token)],
    ["amount", "numeric", (seen) => seen.transfer.amountBaseUnits.toString()],
    ["from_address", "bytea", (seen) => hexToBytes(seen.transfer.from)],
    ["to_address", "bytea", (seen) => hexToBytes(seen.transfer.to)],
    ["sender", "bytea", (seen) => bytesOrNull(seen.transfer.sender)],
    ["status", "text", (seen) => seen.status],
    ["reason", "text", (seen) => seen.reason],
    ["block_number", "bigint", (seen) => seen.block.number],
    ["block_hash", "bytea", (seen) => hexToBytes(seen.block.hash)],
    ["block_time", "timestamptz", (seen) => new Date(seen.block.timestamp * 1000)],
    ["credit_at", "text", (seen) => seen.credit?.text ?? null],
    ["credit_block", "bigint", (seen) => seen.credit?.dueBlock ?? null],
    ["credit_tag", "text", (seen) => seen.credit?.tag ?? null],
    ["unlock_at", "text", (seen) => seen.unlock?.text ?? null],
    ["unlock_block", "bigint", (seen) => seen.unlock?.dueBlock ?? null],
    ["unlock_tag", "text", (seen) => seen.unlock?.tag ?? null],
    ["verification", "text", (seen) => seen.verification],
    ["event_amount", "numeric", (seen) => seen.eventAmountBaseUnits?.toString() ?? null],
    ["measure_at", "timestamptz", (seen) => (isToMeasure(seen) ? new Date(0) : null)],
  ];

const NAMES = SEEN_COLUMNS.map(([name]) => name);
const TYPED_PARAMETERS = SEEN_COLUMNS.map(([, type], index) => `$${index + 2}::${type}[]`);
/** What a new inclusion says anew; identity (chain, transaction, source) stays. */
const JUDGED_ANEW = NAMES.filter((name) => !["id", "tx_hash", "source"].includes(name));

const INSERT_SEEN = `
  WITH written AS (
    INSERT INTO deposits AS d (chain_id, merchant_id, user_id, order_no, ${NAMES.join(", ")})
    SELECT $1, w.merchant_id, w.user_id, w.order_no, ${NAMES.map((name) => `t.${name}`).join(", ")}
    FROM unnest(${TYPED_PARAMETERS.join(", ")}) AS t(${NAMES.join(", ")})
    JOIN watched_addresses w ON w.address = t.to_address
    ORDER BY t.id
    ON CONFLICT (id) DO UPDATE SET
      merchant_id = excluded.merchant_id, user_id = excluded.user_id, order_no = excluded.order_no,
      ${JUDGED_ANEW.map((name) => `${name} = excluded.${name}`).join(", ")},
      sequence = d.sequence + 1, generation = d.generation + 1, credited_at = NULL, unlocked_at = NULL,
      shortfall = NULL, balance_nodes = NULL, measure_problem = NULL
    WHERE d.status IN ('orphaned', 'reversed')
    RETURNING *
  )
  SELECT ${DEPOSIT_COLUMNS} FROM written d LEFT JOIN assets a ON a.id = d.asset_id
  ORDER BY d.block_number, d.id`;

/**
 * Writes what blocks showed. An address that is not watched after all falls away here; a deposit that stands
 * already is left alone, so ingesting a block twice changes nothing; one that was orphaned or reversed starts
 * anew in its new block, with whatever amount and recipient the new branch gave it.
 *
 * @returns those that were inserted or started anew.
 */
export async function insertSeenDeposits(
  tx: Sql,
  chainId: number,
  seen: readonly SeenDeposit[],
): Promise<Deposit[]> {
  if (seen.length === 0) return [];
  const columns = SEEN_COLUMNS.map(([, , read]) => seen.map(read));
  const rows = await tx.query<DepositRow>(INSERT_SEEN, [chainId, ...columns]);
  return rows.map(toDeposit);
}

export interface DepositMove {
  readonly deposit: Deposit;
  readonly to: DepositStatus;
  /** Why: with a move to `held` or `rejected`. What is credited has none; else the one before stays. */
  readonly reason?: string;
  /** With a move to `reversed`: what the user no longer had. */
  readonly shortfallBaseUnits?: bigint;
}

/**
 * Moves deposits, all or none, and answers them as they are afterwards.
 *
 * @param at the transaction's time
 * @throws {FatalError} `illegal_move` @throws {TemporaryError} `cursor_moved` when one of them is not as the
 * caller read it.
 */
export async function moveDeposits(tx: Sql, moves: readonly DepositMove[], at: Date): Promise<Deposit[]> {
  if (moves.length === 0) return [];
  for (const { deposit, to } of moves) assertMove(deposit, to);
  const moved = await tx.query<{ id: string }>(
    `UPDATE deposits d SET status = m.to_status, sequence = d.sequence + 1,
       credited_at = CASE WHEN m.to_status = 'credited' THEN $5 ELSE d.credited_at END,
       unlocked_at = CASE WHEN m.to_status = 'unlocked' THEN $5 ELSE d.unlocked_at END,
       shortfall = m.shortfall,
       reason = CASE WHEN m.to_status = 'credited' THEN NULL ELSE coalesce(m.reason, d.reason) END
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $6::numeric[], $7::text[])
       AS m(id, from_status, sequence, to_status, shortfall, reason)
     WHERE d.id = m.id AND d.status = m.from_status AND d.sequence = m.sequence
     RETURNING d.id`,
    [
      moves.map(({ deposit }) => deposit.id),
      moves.map(({ deposit }) => deposit.status),
      moves.map(({ deposit }) => deposit.sequence),
      moves.map(({ to }) => to),
      at,
      shortfalls(moves),
      reasons(moves),
    ],
  );
  if (moved.length !== moves.length) {
    throw new TemporaryError("cursor_moved", "Deposits changed while they were being moved", {
      expected: moves.length,
      moved: moved.length,
    });
  }
  return moves.map((move) => movedDeposit(move, at));
}

/** Most moves have none: an array that is too short is filled up with NULL by `unnest`. */
function shortfalls(moves: readonly DepositMove[]): (string | null)[] {
  return moves.some((move) => move.shortfallBaseUnits !== undefined)
    ? moves.map((move) => move.shortfallBaseUnits?.toString() ?? null)
    : [];
}

function reasons(moves: readonly DepositMove[]): (string | null)[] {
  return moves.some((move) => move.reason !== undefined) ? moves.map((move) => move.reason ?? null) : [];
}

function movedDeposit({ deposit, to, reason, shortfallBaseUnits }: DepositMove, at: Date): Deposit {
  return {
    ...deposit,
    status: to,
    reason: to === "credited" ? null : (reason ?? deposit.reason),
    sequence: deposit.sequence + 1,
    creditedAt: to === "credited" ? at : deposit.creditedAt,
    unlockedAt: to === "unlocked" ? at : deposit.unlockedAt,
    shortfallBaseUnits: shortfallBaseUnits ?? null,
  };
}

/** Up to which block each kind of threshold is met. `null`: the tag is not known. */
export interface Reached {
  readonly cursorNumber: bigint;
  readonly safeNumber: bigint | null;
  readonly finalizedNumber: bigint | null;
}

const STAGES = {
  credit: { status: "pending", block: "credit_block", tag: "credit_tag", waiting: ["pending"] },
  unlock: {
    status: "credited",
    block: "unlock_block",
    tag: "unlock_tag",
    waiting: ["pending", "held", "credited"],
  },
} as const;
export type SettleStage = keyof typeof STAGES;
export const SETTLE_STAGES: readonly SettleStage[] = ["credit", "unlock"];

interface WayToBeDue {
  /** Where to look: of a row of `waiting_deposits`. */
  readonly waits: string;
  /** Whether it is so: the same of the deposit's own row, which is locked. */
  readonly isDue: string;
  readonly order: string;
  readonly values: readonly unknown[];
}

/**
 * The ways to be due, one query each: every one of them walks its own index of what waits from its lowest entry, so
 * its cost depends on what is due and never on what was. (As one query with OR, the planner sorts all of them.)
 */
function waysToBeDue(stage: SettleStage, reached: Reached): WayToBeDue[] {
  const { status, block, tag } = STAGES[stage];
  const byTag = (name: "safe" | "finalized", number: bigint | null): WayToBeDue[] => {
    if (number === null) return [];
    const condition = (row: string, rowTag: string, rowBlock: string) =>
      `${row}.chain_id = $1 AND ${row}.status = '${status}' AND ${row}.${rowTag} = '${name}'
       AND ${row}.block_number <= $2 AND (${row}.${rowBlock} IS NULL OR ${row}.${rowBlock} <= $3)`;
    return [
      {
        waits: condition("w", "due_tag", "due_block"),
        isDue: condition("d", tag, block),
        order: "w.block_number",
        values: [number, reached.cursorNumber],
      },
    ];
  };
  const byDepth = (row: string, rowTag: string, rowBlock: string) =>
    `${row}.chain_id = $1 AND ${row}.status = '${status}' AND ${row}.${rowTag} IS NULL AND ${row}.${rowBlock} <= $2`;
  return [
    {
      waits: byDepth("w", "due_tag", "due_block"),
      isDue: byDepth("d", tag, block),
      order: "w.due_block",
      values: [reached.cursorNumber],
    },
    ...byTag("safe", reached.safeNumber),
    ...byTag("finalized", reached.finalizedNumber),
  ];
}

/** In this inclusion: one that has its answer, be it that there is none. */
const IS_SCREENED = `
  AND EXISTS (SELECT FROM screenings s
    WHERE s.deposit_id = d.id AND s.generation = d.generation AND s.state <> 'due')`;

/**
 * Deposits whose threshold is met, locked; those another settler has locked are left to it.
 *
 * @param only `screened`: those that wait for the screening service are passed over, so that they hold up nobody
 */
export async function lockDueDeposits(
  tx: Sql,
  chainId: number,
  stage: SettleStage,
  reached: Reached,
  limit: number,
  only: "all" | "screened" = "all",
): Promise<Deposit[]> {
  const due: Deposit[] = [];
  for (const { waits, isDue, order, values } of waysToBeDue(stage, reached)) {
    const rows = await tx.query<DepositRow>(
      `SELECT ${DEPOSIT_COLUMNS} FROM waiting_deposits w JOIN deposits d ON d.id = w.deposit_id
       LEFT JOIN assets a ON a.id = d.asset_id
       WHERE ${waits} AND ${isDue}${only === "screened" ? IS_SCREENED : ""}
       ORDER BY ${order} LIMIT ${limit - due.length} FOR UPDATE OF d SKIP LOCKED`,
      [chainId, ...values],
    );
    due.push(...rows.map(toDeposit));
    if (due.length === limit) break;
  }
  return due;
}

/** Whether settling this chain now would find anything. */
export async function isAnyDepositDue(sql: Sql, chainId: number, reached: Reached): Promise<boolean> {
  const values: unknown[] = [chainId];
  const isDue = SETTLE_STAGES.flatMap((stage) => waysToBeDue(stage, reached)).map((way) => {
    // $1 is the chain for all of them; what follows is each query's own.
    const before = values.length - 1;
    values.push(...way.values);
    const condition = way.waits.replace(/\$([2-9])/g, (_, index: string) => `$${Number(index) + before}`);
    return `EXISTS (SELECT FROM waiting_deposits w WHERE ${condition})`;
  });
  const [row] = await sql.query<{ is_due: boolean }>(`SELECT ${isDue.join(" OR ")} AS is_due`, values);
  return row?.is_due === true;
}

/** Deposits in blocks above a number that still count as being there, locked in the order of their ids. */
export async function lockDepositsAbove(tx: Sql, chainId: number, blockNumber: bigint): Promise<Deposit[]> {
  const rows = await tx.query<DepositRow>(
    `SELECT ${DEPOSIT_COLUMNS} FROM deposits d LEFT JOIN assets a ON a.id = d.asset_id
     WHERE d.chain_id = $1 AND d.block_number > $2 AND d.status NOT IN ('orphaned', 'reversed')
     ORDER BY d.id FOR UPDATE OF d`,
    [chainId, blockNumber],
  );
  return rows.map(toDeposit);
}

/** Blocks that hold live deposits, from a number downwards, as we believe them to be. */
export async function listDepositBlocks(
  sql: Sql,
  chainId: number,
  below: bigint,
  limit: number,
): Promise<{ number: bigint; hash: Hash }[]> {
  const rows = await sql.query<{ block_number: bigint; block_hash: Buffer }>(
    `SELECT DISTINCT block_number, block_hash FROM deposits
     WHERE chain_id = $1 AND block_number < $2 AND status NOT IN ('orphaned', 'reversed')
     ORDER BY block_number DESC LIMIT $3`,
    [chainId, below, limit],
  );
  return rows.map((row) => ({ number: row.block_number, hash: bytesToHex(row.block_hash) }));
}

/** A new threshold for a deposit that has not met the old one yet. */
export interface ThresholdChange {
  readonly depositId: string;
  /** As it was read: one that was included again meanwhile has been judged anew. */
  readonly sequence: number;
  readonly threshold: StoredThreshold;
}

/** Deposits that still wait for a threshold on a chain, for judging them by a changed policy. */
export async function listWaitingDeposits(
  sql: Sql,
  chainId: number,
  stage: SettleStage,
  after: string,
  limit: number,
): Promise<Deposit[]> {
  const rows = await sql.query<DepositRow>(
    `SELECT ${DEPOSIT_COLUMNS} FROM waiting_deposits w JOIN deposits d ON d.id = w.deposit_id
     LEFT JOIN assets a ON a.id = d.asset_id
     WHERE w.chain_id = $1 AND w.status = ANY ($4) AND w.deposit_id > $2
     ORDER BY w.deposit_id LIMIT $3`,
    [chainId, after, limit, STAGES[stage].waiting],
  );
  return rows.map(toDeposit);
}

/**
 * Changes what deposits wait for; one that has moved on meanwhile is left alone, and one that is not measured yet
 * stays due to nobody.
 */
export async function changeThresholds(
  sql: Sql,
  stage: SettleStage,
  changes: readonly ThresholdChange[],
): Promise<void> {
  if (changes.length === 0) return;
  const { block, tag, waiting } = STAGES[stage];
  await sql.query(
    `UPDATE deposits d SET ${stage}_at = c.text,
       ${block} = CASE WHEN d.measure_at IS NULL THEN c.due_block END,
       ${tag} = CASE WHEN d.measure_at IS NULL THEN c.tag END
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $6::integer[])
       AS c(id, text, due_block, tag, sequence)
     WHERE d.id = c.id AND d.sequence = c.sequence AND d.status = ANY ($5)`,
    [
      changes.map(({ depositId }) => depositId),
      changes.map(({ threshold }) => threshold.text),
      changes.map(({ threshold }) => threshold.dueBlock),
      changes.map(({ threshold }) => threshold.tag),
      waiting,
      changes.map(({ sequence }) => sequence),
    ],
  );
}

function bytesOrNull(hex: `0x${string}` | null): Buffer | null {
  return hex === null ? null : hexToBytes(hex);
}
