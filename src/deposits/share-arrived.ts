/**
 * What has arrived of transfers whose events may tell more than moved. Pure.
 *
 *   arrived = balance after the block − balance before it + what events say left the address in the block
 *
 * A balance knows of the address and the block, not of single transfers. Where several went to one address in one
 * block, each gets of what arrived in proportion to its event's amount, and the shares make the whole: fees in percent,
 * the usual ones, come out exactly. No share is more than its event's amount; what is left over then (a rebase, a
 * payment without an event) is nobody's deposit, and is not invented to be one. What an address sends to itself moves
 * nothing, and has no share.
 */
import type { Transfer } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";

export interface MeasuredAddress {
  readonly token: Address;
  readonly holder: Address;
  readonly before: bigint;
  readonly after: bigint;
}

/** @param transfers all of the block, whatever became of them: each has its share, counted or not */
export function shareArrived(
  transfers: readonly Transfer[],
  { token, holder, before, after }: MeasuredAddress,
): Map<Transfer, bigint> {
  const ofToken = transfers.filter((transfer) => transfer.token === token && transfer.from !== transfer.to);
  const incoming = ofToken.filter(({ to }) => to === holder);
  const outgoing = sumOf(ofToken.filter(({ from }) => from === holder));
  const told = sumOf(incoming);
  const arrived = within(after - before + outgoing, told);
  let toldSoFar = 0n;
  const shares = new Map<Transfer, bigint>();
  for (const transfer of incoming) {
    const earlier = toldSoFar;
    toldSoFar += transfer.amountBaseUnits;
    // Differences of what is rounded down add up to the whole, and none exceeds its event's amount.
    shares.set(transfer, (toldSoFar * arrived) / told - (earlier * arrived) / told);
  }
  return shares;
}

function sumOf(transfers: readonly Transfer[]): bigint {
  return transfers.reduce((sum, { amountBaseUnits }) => sum + amountBaseUnits, 0n);
}

function within(amount: bigint, most: bigint): bigint {
  if (amount < 0n) return 0n;
  return amount > most ? most : amount;
}
