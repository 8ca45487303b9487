/** A merchant's users: what is theirs, and what the merchant takes of it. */
import { z } from "zod";
import { formatAmount, parseAmount } from "../../core/amount.ts";
import { InputError } from "../../core/errors.ts";
import { checksumAddress } from "../../core/hex.ts";
import { type AssetRow, findAsset } from "../../deposits/asset-store.ts";
import { debitUser } from "../../flow/debit-user.ts";
import type { Debit } from "../../ledger/debit-store.ts";
import { listUserBalances } from "../../ledger/ledger-store.ts";
import { balancesShape, type DebitBody, debitShape } from "../answers.ts";
import { balancesBody } from "../balances-body.ts";
import { address, NOTE, NOTE_RULE, userId } from "../inputs.ts";
import { type Route, route } from "../route.ts";

const showBalances = route({
  method: "GET",
  path: "/v1/users/{userId}/balances",
  summary:
    "A user's balances, per asset and per currency. Empty for a user who never had a deposit credited.",
  params: z.strictObject({ userId }),
  answers: { 200: { description: "The balances.", shape: balancesShape } },
  handle: async ({ caller, params, database }) => {
    const balances = await listUserBalances(database, caller.merchantId, params.userId);
    return { status: 200, body: balancesBody(params.userId, balances) };
  },
});

const debit = route({
  method: "POST",
  path: "/v1/users/{userId}/debits",
  summary:
    "Take from what a user has available. Needs an Idempotency-Key, under which it happens once, for good; refused when there is less available.",
  params: z.strictObject({ userId }),
  body: z.strictObject({
    chainId: z.int().positive(),
    token: address.nullable().describe("null: the native coin."),
    amount: z.string().describe("A decimal number in the currency."),
    note: z
      .string()
      .regex(NOTE, { error: NOTE_RULE })
      .meta({ minLength: 1, maxLength: 500, pattern: undefined })
      .nullable()
      .default(null),
  }),
  answers: {
    201: { description: "It was taken.", shape: debitShape },
    200: { description: "It had been taken under this key before.", shape: debitShape },
  },
  handle: async ({ caller, params, body, database, idempotencyKey }) => {
    if (idempotencyKey === undefined) {
      throw new InputError("idempotency_key_required", "A debit needs the header Idempotency-Key");
    }
    const asset = await findAsset(database, body.chainId, body.token);
    if (asset === undefined) throw new InputError("not_found", "There is no such asset on this chain");
    const amountBaseUnits = parseAmount(body.amount, asset.decimals, "body.amount");
    if (amountBaseUnits === 0n) throw new InputError("invalid_amount", "body.amount must be more than zero");
    const { debit, isNew } = await debitUser(database, {
      merchantId: caller.merchantId,
      userId: params.userId,
      assetId: asset.id,
      amountBaseUnits,
      key: idempotencyKey,
      note: body.note,
    });
    return { status: isNew ? 201 : 200, body: debitBody(debit, asset) };
  },
});

export const userRoutes: readonly Route[] = [showBalances, debit];

function debitBody(debit: Debit, asset: AssetRow): DebitBody {
  return {
    id: debit.id,
    userId: debit.userId,
    chainId: asset.chainId,
    currency: asset.currency,
    token: asset.token === null ? null : checksumAddress(asset.token),
    decimals: asset.decimals,
    amount: formatAmount(debit.amountBaseUnits, asset.decimals),
    amountBaseUnits: debit.amountBaseUnits.toString(),
    note: debit.note,
    createdAt: debit.createdAt.toISOString(),
  };
}
