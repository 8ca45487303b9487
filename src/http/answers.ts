/** What the API answers, as shapes: the source of its OpenAPI description, and what the tests hold answers against. */
import { z } from "zod";
import { AMOUNT_SOURCES } from "../core/asset.ts";
import { DEPOSIT_STATUSES } from "../core/deposit.ts";
import type { DepositBody } from "../core/deposit-body.ts";
import { ORDER_STATUSES } from "../core/order.ts";
import type { OrderBody } from "../core/order-body.ts";
import { SEEN_STATUSES } from "../core/seen-payment.ts";
import type { SeenPaymentBody } from "../core/seen-payment-body.ts";
import { VERIFICATIONS } from "../core/verification.ts";
import { RESCAN_STATES } from "../scanner/address-rescan-store.ts";

export const time = z.iso.datetime().describe("RFC 3339, UTC.");
const amount = z.string().describe("A decimal number in the currency.");
const baseUnits = z.string().describe("The same as an integer in base units.");

const depositKeys = {
  id: z.string(),
  sequence: z.int().describe("Counts up with every status change; of two callbacks the higher one is newer."),
  status: z.enum(DEPOSIT_STATUSES),
  reason: z.string().nullable().describe("Why it is ignored, held or rejected. null: it is not."),
  merchantId: z.string(),
  userId: z.string(),
  orderNo: z.string().nullable(),
  chainId: z.int(),
  currency: z.string().nullable().describe("null: the token is not listed."),
  token: z.string().nullable().describe("null: the native coin."),
  decimals: z.int().nullable(),
  amount: amount.nullable().describe("null: the token is not listed, so its decimals are not known."),
  amountBaseUnits: baseUnits,
  amountFrom: z
    .enum(AMOUNT_SOURCES)
    .describe("What counts: the Transfer event's amount, or what the address's balance grew by."),
  eventAmount: amount
    .nullable()
    .describe(
      "What the Transfer event tells, where amountFrom is balance; amount is that until it is measured.",
    ),
  eventAmountBaseUnits: baseUnits.nullable(),
  balanceNodes: z
    .int()
    .nullable()
    .describe("How many nodes told the balances that amount was measured by. null: not measured."),
  from: z.string(),
  to: z.string(),
  sender: z
    .string()
    .nullable()
    .describe("Who sent the transaction, be the money another's. null: a validator's withdrawal."),
  txHash: z.string().nullable().describe("null: a validator's withdrawal."),
  source: z.string().describe("Where in the transaction the value moved."),
  blockNumber: z.int(),
  blockHash: z.string(),
  blockTime: time,
  verification: z
    .enum(VERIFICATIONS)
    .describe("How much of it the hash of its block proves; see docs/verification.md."),
  confirmations: z.int().describe("Depth at the cursor; a block at the cursor has 1."),
  creditAt: z.string().nullable(),
  unlockAt: z.string().nullable(),
  detectedAt: time,
  creditedAt: time.nullable(),
  unlockedAt: time.nullable(),
  shortfall: amount
    .nullable()
    .describe("Of a reversed deposit: what the user no longer had of the amount taken back. Else null."),
  shortfallBaseUnits: baseUnits.nullable(),
};

export const depositShape: z.ZodType<DepositBody> = z.strictObject(depositKeys).meta({ id: "Deposit" });

export const depositDetailShape = z
  .strictObject({
    ...depositKeys,
    waitsFor: z
      .string()
      .nullable()
      .describe("For people: what it waits for, such as `3 of 12`. null: for nothing."),
    history: z
      .array(
        z.strictObject({
          sequence: z.int(),
          status: z.enum(DEPOSIT_STATUSES),
          at: time,
          blockNumber: z.int().describe("The block that holds the deposit after this move."),
          blockHash: z.string(),
        }),
      )
      .describe("Every status it ever had, oldest first."),
    timing: z
      .strictObject({
        blockToDetectedMs: z.int().describe("From the block's own time until it was seen."),
        detectedToCreditedMs: z.int().nullable(),
        creditedToUnlockedMs: z.int().nullable(),
      })
      .describe("How long each stage took. null: not reached."),
  })
  .meta({ id: "DepositDetail" });

export const seenPaymentShape: z.ZodType<SeenPaymentBody> = z
  .strictObject({
    id: depositKeys.id,
    sequence: depositKeys.sequence,
    reason: depositKeys.reason,
    merchantId: depositKeys.merchantId,
    userId: depositKeys.userId,
    orderNo: depositKeys.orderNo,
    chainId: depositKeys.chainId,
    token: depositKeys.token,
    amountBaseUnits: depositKeys.amountBaseUnits,
    from: depositKeys.from,
    to: depositKeys.to,
    creditAt: depositKeys.creditAt,
    unlockAt: depositKeys.unlockAt,
    detectedAt: depositKeys.detectedAt,
    creditedAt: depositKeys.creditedAt,
    unlockedAt: depositKeys.unlockedAt,
    status: z.enum(SEEN_STATUSES),
    currency: z.string(),
    decimals: z.int(),
    amount,
    txHash: z.string(),
    source: z.string().describe("value, or call: a transfer or transferFrom called on the token."),
    blockNumber: z.null().describe("A seen payment is in no block."),
    blockHash: z.null(),
    blockTime: z.null(),
    verification: z.literal("none").describe("Nothing proves what waits."),
    confirmations: z.int().describe("Always 0: depth is counted for deposits."),
    sender: z.string().describe("Who signed the transaction."),
    nonce: z.string().describe("The sender's, as text: another transaction with it replaces this one."),
    changedAt: time.describe("Since when it has this status."),
    replacedBy: z
      .string()
      .nullable()
      .describe("What took its nonce. null: not replaced, or nobody saw by what."),
    minedIn: z
      .strictObject({
        blockNumber: z.int(),
        blockHash: z.string(),
        depositIds: z.array(z.string()).describe("Empty: it failed, or paid nothing to this address."),
      })
      .nullable(),
  })
  .meta({ id: "SeenPayment" });

const orderKeys = {
  id: z.string(),
  sequence: z
    .int()
    .describe("Counts up with every change that is told; of two callbacks the higher one is newer."),
  status: z.enum(ORDER_STATUSES),
  merchantId: z.string(),
  userId: z.string().describe("To whom its deposits are credited."),
  orderNo: z.string().describe("The merchant's own name for it."),
  chainId: z.int(),
  currency: z.string(),
  token: z.string().nullable().describe("null: the native coin."),
  decimals: z.int(),
  amount,
  amountBaseUnits: baseUnits,
  address: z.string().describe("Checksummed (EIP-55). It belongs to this order alone."),
  paymentUri: z.string().describe("For a wallet to open, as a link or a QR code (EIP-681)."),
  paid: amount.describe("Credited, in blocks up to expiresAt."),
  paidBaseUnits: baseUnits,
  late: amount.describe("Credited, in later blocks. It does not count towards the amount."),
  lateBaseUnits: baseUnits,
  remaining: amount.describe("What is missing to the amount."),
  remainingBaseUnits: baseUnits,
  expiresAt: time,
  paidAt: time.nullable().describe("Since when it is paid or overpaid. null: it is neither."),
  createdAt: time,
};

export const orderShape: z.ZodType<OrderBody> = z.strictObject(orderKeys).meta({ id: "Order" });

const answeredOrderKeys = {
  ...orderKeys,
  pageUrl: z.string().describe("A page for its payer, who needs no key."),
};

/** In answers, which know where the payer's page is; callbacks do not. */
export const answeredOrderShape = z.strictObject(answeredOrderKeys).meta({ id: "AnsweredOrder" });

export const orderDetailShape = z
  .strictObject({
    ...answeredOrderKeys,
    pending: amount.describe("Of its asset and in time, and not credited yet: pending or held."),
    pendingBaseUnits: baseUnits,
    deposits: z
      .array(depositShape)
      .describe(
        "Whatever came to its address, newest first, at most 100; of another asset or chain it does not count.",
      ),
    seenPayments: z
      .array(seenPaymentShape)
      .describe(
        "What waits in the mempool to be paid to its address, newest first, at most 20. None of it is a deposit.",
      ),
  })
  .meta({ id: "OrderDetail" });

const addressKeys = {
  address: z.string().describe("Checksummed (EIP-55)."),
  userId: z.string(),
  orderNo: z
    .string()
    .nullable()
    .describe("The order that it was made for, and that it belongs to. null: none."),
  derivation: z
    .strictObject({
      keyFingerprint: z
        .string()
        .describe("Which extended public key it is of: its BIP-32 fingerprint, 8 hexadecimal digits."),
      path: z.string().describe("Below that key: 0/<index> for an account's, <index> for a chain's."),
      index: z.int(),
    })
    .nullable()
    .describe("Where in the merchant's wallet it lies. null: the merchant named it."),
  createdAt: time,
  rescans: z
    .array(
      z.strictObject({
        chainId: z.int(),
        state: z.enum(RESCAN_STATES),
        fromTime: time
          .nullable()
          .describe("The earliest time that watchFrom asked for; null: it named a block."),
        fromBlock: z.int().nullable().describe("The first block; null: the time is not resolved yet."),
        toBlock: z
          .int()
          .nullable()
          .describe("The last block: later ones were matched as they came. null: the chain had none yet."),
        scannedBlocks: z.int(),
        totalBlocks: z.int().nullable(),
      }),
    )
    .describe("How far the past was looked at, as watchFrom asked, by chain."),
};

export const addressShape = z.strictObject(addressKeys).meta({ id: "Address" });

export const addressDetailShape = z
  .strictObject({
    ...addressKeys,
    seenPayments: z
      .array(seenPaymentShape)
      .describe(
        "What waits in the mempool to be paid to it, newest first, at most 20. None of it is a deposit.",
      ),
  })
  .meta({ id: "AddressDetail" });

const assetBalanceShape = z.strictObject({
  chainId: z.int(),
  currency: z.string(),
  token: z.string().nullable(),
  decimals: z.int(),
  available: amount,
  availableBaseUnits: baseUnits,
  locked: amount,
  lockedBaseUnits: baseUnits,
  owed: amount.describe("What reversals took back and the user had spent; later money repays it first."),
  owedBaseUnits: baseUnits,
});

export const balancesShape = z
  .strictObject({
    userId: z.string(),
    assets: z.array(assetBalanceShape),
    currencies: z
      .array(z.strictObject({ currency: z.string(), available: amount, locked: amount, owed: amount }))
      .describe("The same, added up over the assets of each currency."),
  })
  .meta({ id: "Balances" });

export type BalancesBody = z.infer<typeof balancesShape>;

export const debitShape = z
  .strictObject({
    id: z.string(),
    userId: z.string(),
    chainId: z.int(),
    currency: z.string(),
    token: z.string().nullable().describe("null: the native coin."),
    decimals: z.int(),
    amount,
    amountBaseUnits: baseUnits,
    note: z.string().nullable(),
    createdAt: time,
  })
  .meta({ id: "Debit" });

export type DebitBody = z.infer<typeof debitShape>;

/** A page of a list. */
export function pageOf<Item extends z.ZodType>(item: Item, name: string) {
  return z
    .strictObject({
      items: z.array(item),
      nextCursor: z.string().nullable().describe("null: this is the last page."),
    })
    .meta({ id: name });
}
