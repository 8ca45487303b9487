/**
 * [tx] Opens an order: order number → registration gate → address → order, or nothing of it.
 *
 * The number is locked first. So of many that open the same order at once one takes an address, and the others find
 * what it has opened.
 */
import { formatAmount, parseAmount } from "../core/amount.ts";
import type { KnownAsset } from "../core/asset.ts";
import { InputError } from "../core/errors.ts";
import { type Address, checksumAddress } from "../core/hex.ts";
import type { Order } from "../core/order.ts";
import type { Database, Sql } from "../db/database.ts";
import { registerAddressIn } from "../merchants/address-store.ts";
import { takeNextAddress } from "../merchants/extended-key-store.ts";
import { findOrderByNo, insertOrder, lockOrderNo } from "../orders/order-store.ts";
import type { Random } from "../runtime/random.ts";

export interface OpenOrderParts {
  readonly database: Database;
  readonly random: Random;
  /** The chains that are followed. */
  readonly chainIds: readonly number[];
  /** What the config in force lists on a chain. */
  readonly assetsOf: (chainId: number) => readonly KnownAsset[];
}

export interface WantedOrder {
  readonly merchantId: string;
  readonly orderNo: string;
  readonly userId: string;
  readonly chainId: number;
  readonly currency: string;
  /** For a chain that lists a currency more than once. `null`: the native coin. */
  readonly token?: Address | null | undefined;
  /** Decimal text in the currency. */
  readonly amount: string;
  readonly lifetimeS: number;
  /** Of the merchant's own choice, not assigned yet. Without: the next of the merchant's extended public key. */
  readonly address?: Address | undefined;
}

/**
 * @returns `isNew: false` for a repeat, which changes nothing
 * @throws {InputError} `order_conflict` when the number stands for another order; `invalid_request`, `asset_not_listed`,
 * `invalid_amount`, `address_required` or `address_taken`; nothing was changed then
 */
export function openOrder(
  parts: OpenOrderParts,
  wanted: WantedOrder,
): Promise<{ readonly order: Order; readonly isNew: boolean }> {
  return parts.database.transaction(async (tx) => {
    await lockOrderNo(tx, wanted.merchantId, wanted.orderNo);
    const found = await findOrderByNo(tx, wanted.merchantId, wanted.orderNo);
    if (found !== undefined) {
      // By the words it was opened with: the config may have changed since.
      assertSame(found, wanted);
      return { order: found, isNew: false };
    }
    const asset = listedAsset(parts, wanted);
    const order = await insertOrder(tx, {
      id: `ord_${parts.random.bytes(ID_BYTES).toString("hex")}`,
      merchantId: wanted.merchantId,
      orderNo: wanted.orderNo,
      userId: wanted.userId,
      chainId: wanted.chainId,
      assetId: asset.id,
      amountBaseUnits: payableAmount(wanted.amount, asset),
      address: await takeAddress(tx, wanted),
      lifetimeS: wanted.lifetimeS,
    });
    return { order, isNew: true };
  });
}

/** A payer's page is found by the id alone: 160 bits that nobody guesses. */
const ID_BYTES = 20;

/** New, so that whatever comes to it is this order's. */
async function takeAddress(tx: Sql, { address, merchantId, userId, orderNo }: WantedOrder): Promise<Address> {
  const wanted = { merchantId, userId, orderNo };
  const taken =
    address === undefined ? takeNextAddress(tx, wanted) : registerAddressIn(tx, { ...wanted, address });
  return (await taken).address;
}

function listedAsset({ chainIds, assetsOf }: OpenOrderParts, wanted: WantedOrder): KnownAsset {
  const { chainId, currency, token } = wanted;
  const refuse = (why: string) => new InputError("asset_not_listed", why, { chainId, currency });
  if (!chainIds.includes(chainId)) throw refuse(`Chain ${chainId} is not followed`);
  const listed = assetsOf(chainId);
  const fitting = listed.filter(
    (asset) => asset.currency === currency && (token === undefined || asset.token === token),
  );
  const [asset, second] = fitting;
  if (asset === undefined) {
    const known = [...new Set(listed.map((each) => each.currency))].join(", ");
    const at = token === undefined ? "" : token === null ? " as its native coin" : " at this token";
    throw refuse(`Chain ${chainId} does not list ${currency}${at}; it lists ${known || "nothing"}`);
  }
  if (second !== undefined) {
    const tokens = fitting.map((each) => (each.token === null ? "null" : checksumAddress(each.token)));
    throw refuse(
      `Chain ${chainId} lists ${currency} more than once: give token as well (${tokens.join(", ")})`,
    );
  }
  return asset;
}

/** A payment below the minimum is kept as `ignored`: an order of less could never be paid. */
function payableAmount(text: string, asset: KnownAsset): bigint {
  const { currency, decimals, minimumBaseUnits, chainId } = asset;
  const amount = parseAmount(text, decimals, "body.amount");
  if (amount === 0n) throw new InputError("invalid_amount", "body.amount must be more than zero");
  if (amount < minimumBaseUnits) {
    throw new InputError(
      "invalid_amount",
      `body.amount is below the minimum of ${currency} on chain ${chainId}, ${formatAmount(minimumBaseUnits, decimals)}: ` +
        "a payment of it would be ignored, and never credited",
    );
  }
  return amount;
}

function assertSame(order: Order, wanted: WantedOrder): void {
  const differing = differences(order, wanted);
  if (differing.length === 0) return;
  throw new InputError(
    "order_conflict",
    `There is an order of this number with another ${differing.join(", another ")}`,
    { orderId: order.id },
  );
}

function differences(order: Order, wanted: WantedOrder): string[] {
  const isSameAsset =
    order.chainId === wanted.chainId &&
    order.currency === wanted.currency &&
    (wanted.token === undefined || order.token === wanted.token);
  const differs: Readonly<Record<string, boolean>> = {
    chainId: order.chainId !== wanted.chainId,
    currency: order.currency !== wanted.currency,
    token: wanted.token !== undefined && order.token !== wanted.token,
    // What a text is worth depends on the asset: of another one it says nothing.
    amount:
      isSameAsset && parseAmount(wanted.amount, order.decimals, "body.amount") !== order.amountBaseUnits,
    userId: order.userId !== wanted.userId,
    expiresIn: order.lifetimeS !== wanted.lifetimeS,
    address: wanted.address !== undefined && order.address !== wanted.address,
  };
  return Object.keys(differs).filter((name) => differs[name] === true);
}
