/** What the API answers, as shapes: the source of its OpenAPI description, and what the tests hold answers against. */
import { z } from "zod";
import { AMOUNT_SOURCES } from "../core/asset.ts";
import { DEPOSIT_STATUSES } from "../core/deposit.ts";
import type { DepositBody } from "../core/deposit-body.ts";
import { EVENT_TYPES } from "../core/event.ts";
import { SEEN_STATUSES } from "../core/seen-payment.ts";
import type { SeenPaymentBody } from "../core/seen-payment-body.ts";
import { VERIFICATIONS } from "../core/verification.ts";
import { SIGNATURE_SCHEMES } from "../delivery/signature.ts";
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

const addressKeys = {
  address: z.string().describe("Checksummed (EIP-55)."),
  userId: z.string(),
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

const endpointKeys = {
  id: z.string(),
  url: z.string(),
  events: z.array(z.enum(EVENT_TYPES)),
  status: z.enum(["enabled", "disabled"]),
  disabledReason: z.string().nullable(),
  signature: z.enum(SIGNATURE_SCHEMES).describe("v1: HMAC-SHA256 under the secret. v1a: Ed25519."),
  publicKey: z.string().nullable().describe("whpk_…, to verify v1a with. null: v1."),
  previousKeyUntil: time
    .nullable()
    .describe("Until then the key before this one signs too; it may have passed."),
  schedule: z.array(z.string()).nullable().describe("Waits before each attempt. null: the daemon's own."),
  failingSince: time.nullable().describe("Since when no attempt has succeeded. null: all is well."),
  pausedUntil: time
    .nullable()
    .describe(
      "Until then nothing is sent: it was overloaded, or failed again and again. It may have passed.",
    ),
  headers: z
    .array(z.string())
    .describe("Names of the headers that come with its callbacks; values are not shown."),
  createdAt: time,
};

export const endpointShape = z.strictObject(endpointKeys).meta({ id: "Endpoint" });

export const newEndpointShape = z
  .strictObject({
    ...endpointKeys,
    secret: z.string().nullable().describe("whsec_…; shown here and never again. null: v1a, see publicKey."),
  })
  .meta({ id: "NewEndpoint" });

export type EndpointBody = z.infer<typeof endpointShape>;

const deliveryKeys = {
  id: z.string(),
  eventId: z.string().describe("The `webhook-id` of its callbacks."),
  type: z.string(),
  depositId: z.string().nullable(),
  endpointId: z.string(),
  status: z
    .enum(["due", "delivered", "failed", "skipped"])
    .describe("due: it will be attempted. failed: it will not, until it is retried or replayed."),
  createdAt: time,
  nextAttemptAt: time
    .nullable()
    .describe("Not before it, and not while its endpoint is disabled or paused. null: there will be none."),
  finishedAt: time.nullable(),
};

const phaseMs = z
  .int()
  .nullable()
  .describe("null: not reached, or not needed on a connection that was kept.");

export const deliveryShape = z.strictObject(deliveryKeys).meta({ id: "Delivery" });

export const deliveryDetailShape = z
  .strictObject({
    ...deliveryKeys,
    attempts: z
      .array(
        z.strictObject({
          attempt: z.int(),
          startedAt: time,
          durationMs: z.int().describe("All of it."),
          dnsMs: phaseMs,
          connectMs: phaseMs,
          tlsMs: phaseMs,
          firstByteMs: phaseMs,
          httpStatus: z.int().nullable().describe("null: no answer came."),
          error: z.string().nullable().describe("The class of the failure. null: delivered."),
          errorCode: z.string().nullable().describe("What the system or the TLS library called it."),
          responseBody: z.string().nullable().describe("The answer, or a note in its place."),
        }),
      )
      .describe("Every recorded attempt, oldest first."),
  })
  .meta({ id: "DeliveryDetail" });

export type DeliveryBody = z.infer<typeof deliveryShape>;
export type DeliveryDetailBody = z.infer<typeof deliveryDetailShape>;

export const testEventShape = z
  .strictObject({ eventId: z.string(), deliveryId: z.string().describe("Look at it for what came of it.") })
  .meta({ id: "TestEvent" });

export const replayShape = z
  .strictObject({
    id: z.string(),
    endpointId: z.string(),
    since: time,
    until: time,
    types: z.array(z.string()).nullable().describe("null: all."),
    statuses: z.array(z.string()),
    status: z.enum(["running", "done"]),
    total: z.int().describe("Deliveries that were meant when it was ordered."),
    done: z.int().describe("Deliveries made due so far."),
    createdAt: time,
    finishedAt: time.nullable(),
  })
  .meta({ id: "Replay" });

export type ReplayBody = z.infer<typeof replayShape>;

export const feedShape = z
  .strictObject({
    items: z.array(
      z
        .strictObject({
          id: z.string().describe("The `webhook-id` of its callbacks."),
          type: z.string(),
          timestamp: time,
          data: z.record(z.string(), z.unknown()).describe("As in the callback."),
        })
        .meta({ id: "Event" }),
    ),
    nextAfter: z
      .string()
      .nullable()
      .describe("The `after` to go on with, now or later. null: there was never an event."),
    hasMore: z.boolean().describe("There is more to be read at once."),
  })
  .meta({ id: "EventPage" });

/** A page of a list. */
export function pageOf<Item extends z.ZodType>(item: Item, name: string) {
  return z
    .strictObject({
      items: z.array(item),
      nextCursor: z.string().nullable().describe("null: this is the last page."),
    })
    .meta({ id: name });
}
