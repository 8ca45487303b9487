/** What a wallet reads from a link or a QR code (EIP-681, "URL Format for Transaction Requests"). */
import { type Address, checksumAddress } from "./hex.ts";

/** A payment of one asset to one address on one chain, with its amount in base units. */
export interface RequestedPayment {
  readonly chainId: number;
  /** `null` for the native coin. */
  readonly token: Address | null;
  readonly address: Address;
  readonly amountBaseUnits: bigint;
}

/** Plain integers, which the grammar allows and every wallet reads; some read no exponents. */
export function paymentUri({ chainId, token, address, amountBaseUnits }: RequestedPayment): string {
  const to = checksumAddress(address);
  return token === null
    ? `ethereum:${to}@${chainId}?value=${amountBaseUnits}`
    : `ethereum:${checksumAddress(token)}@${chainId}/transfer?address=${to}&uint256=${amountBaseUnits}`;
}
