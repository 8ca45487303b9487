/** Seen payments as a merchant asks for them. Every question is scoped to one merchant. */
import { type Address, type Hash, hexToBytes } from "../core/hex.ts";
import type { SeenPayment, SeenStatus } from "../core/seen-payment.ts";
import type { Sql } from "../db/database.ts";
import { orderAddress } from "./deposit-list-store.ts";
import { SEEN_PAYMENT_COLUMNS, type SeenPaymentRow, toSeenPayment } from "./seen-payment-row.ts";

export interface SeenPaymentFilter {
  readonly merchantId: string;
  readonly status?: SeenStatus | undefined;
  readonly userId?: string | undefined;
  readonly txHash?: Hash | undefined;
  readonly address?: Address | undefined;
  readonly orderNo?: string | undefined;
  readonly limit: number;
  /** The last one of the page before. */
  readonly after?: { readonly detectedAt: Date; readonly id: string } | undefined;
}

/** Newest first. */
export async function listSeenPayments(sql: Sql, filter: SeenPaymentFilter): Promise<SeenPayment[]> {
  const { txHash, address, after } = filter;
  const rows = await sql.query<SeenPaymentRow>(
    `SELECT ${SEEN_PAYMENT_COLUMNS} FROM seen_payments s JOIN assets a ON a.id = s.asset_id
     WHERE s.merchant_id = $1
       AND ($2::text IS NULL OR s.status = $2)
       AND ($3::text IS NULL OR s.user_id = $3)
       AND ($4::bytea IS NULL OR s.tx_hash = $4)
       AND ($5::bytea IS NULL OR s.to_address = $5)
       AND ($9::text IS NULL OR s.to_address = ${orderAddress("$9")})
       AND ($6::timestamptz IS NULL OR (s.detected_at, s.id) < ($6, $7))
     ORDER BY s.detected_at DESC, s.id DESC LIMIT $8`,
    [
      filter.merchantId,
      filter.status ?? null,
      filter.userId ?? null,
      txHash === undefined ? null : hexToBytes(txHash),
      address === undefined ? null : hexToBytes(address),
      after?.detectedAt ?? null,
      after?.id ?? null,
      filter.limit,
      filter.orderNo ?? null,
    ],
  );
  return rows.map(toSeenPayment);
}
