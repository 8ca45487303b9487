/** Deposits: the list, and one with its history and timing. */
import { z } from "zod";
import { waitsFor } from "../../confirmations/waits-for.ts";
import { DEPOSIT_STATUSES, type Deposit } from "../../core/deposit.ts";
import { depositBody } from "../../core/deposit-body.ts";
import { FatalError, InputError } from "../../core/errors.ts";
import { depositEventType } from "../../core/event.ts";
import type { Sql } from "../../db/database.ts";
import { findDeposit, listDeposits } from "../../deposits/deposit-list-store.ts";
import { type DepositHistoryItem, listDepositHistory } from "../../outbox/event-store.ts";
import { findScreeningSince } from "../../review/screening-store.ts";
import { getChainStanding } from "../../scanner/chain-store.ts";
import { depositDetailShape, depositShape, pageOf } from "../answers.ts";
import { address, depositStatus, hash, id, orderNo, pageQuery, userId } from "../inputs.ts";
import { decodeCursor, toPage } from "../page-cursor.ts";
import { type Route, route } from "../route.ts";

type DepositDetail = z.infer<typeof depositDetailShape>;

const listAll = route({
  method: "GET",
  path: "/v1/deposits",
  summary: "Deposits, newest first.",
  query: z.strictObject({
    status: depositStatus.optional(),
    userId: userId.optional(),
    txHash: hash.optional(),
    address: address.optional().describe("The watched address that received it."),
    orderNo: orderNo.optional().describe("Of the order whose address received it."),
    ...pageQuery,
  }),
  answers: { 200: { description: "A page of deposits.", shape: pageOf(depositShape, "DepositPage") } },
  handle: async ({ caller, query, database }) => {
    const { cursor, limit, ...filter } = query;
    const end = cursor === undefined ? undefined : decodeCursor(cursor);
    const found = await listDeposits(database, {
      ...filter,
      merchantId: caller.merchantId,
      limit: limit + 1,
      after: end === undefined ? undefined : { detectedAt: end.at, id: end.id },
    });
    const page = toPage(found, limit, ({ deposit }) => ({ at: deposit.detectedAt, id: deposit.id }));
    const items = page.items.map(({ deposit, cursorNumber }) => depositBody(deposit, cursorNumber));
    return { status: 200, body: { items, nextCursor: page.nextCursor } };
  },
});

const showOne = route({
  method: "GET",
  path: "/v1/deposits/{id}",
  summary: "One deposit with its history and how long each stage took.",
  params: z.strictObject({ id }),
  answers: { 200: { description: "The deposit.", shape: depositDetailShape } },
  handle: async ({ caller, params, database }) => {
    const found = await findDeposit(database, caller.merchantId, params.id);
    if (found === undefined) throw new InputError("not_found", "There is no such deposit");
    const { deposit, cursorNumber } = found;
    const history = (await listDepositHistory(database, deposit.id)).map(historyBody);
    const body: DepositDetail = {
      ...(depositBody(deposit, cursorNumber) as Omit<DepositDetail, "history" | "timing" | "waitsFor">),
      waitsFor: await waitText(database, deposit),
      history,
      timing: timingOf(deposit),
    };
    return { status: 200, body };
  },
});

export const depositRoutes: readonly Route[] = [listAll, showOne];

async function waitText(sql: Sql, deposit: Deposit): Promise<string | null> {
  const { id: depositId, generation, chainId } = deposit;
  const screeningSince = await findScreeningSince(sql, { depositId, generation });
  return waitsFor({ ...deposit, screeningSince }, await getChainStanding(sql, chainId));
}

function historyBody(item: DepositHistoryItem): DepositDetail["history"][number] {
  const status = DEPOSIT_STATUSES.find((each) => depositEventType(each) === item.type);
  if (status === undefined)
    throw new FatalError("internal", "A deposit has an event that no status makes", { type: item.type });
  return {
    sequence: item.sequence,
    status,
    at: item.at.toISOString(),
    blockNumber: Number(item.blockNumber),
    blockHash: item.blockHash,
  };
}

function timingOf(deposit: Deposit): DepositDetail["timing"] {
  const { blockTime, detectedAt, creditedAt, unlockedAt } = deposit;
  const between = (from: Date | null, to: Date | null) =>
    from === null || to === null ? null : to.getTime() - from.getTime();
  return {
    blockToDetectedMs: detectedAt.getTime() - blockTime.getTime(),
    detectedToCreditedMs: between(detectedAt, creditedAt),
    creditedToUnlockedMs: between(creditedAt, unlockedAt),
  };
}
