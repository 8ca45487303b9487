/** Balances beside what came in, as people read them and as programs do. */
import { formatAmount } from "../core/amount.ts";
import { checksumAddress } from "../core/hex.ts";
import type { Drift, DriftFindings } from "../flow/balance-drift.ts";

const SHOWN = 20;

export function driftText(findings: DriftFindings): string {
  const { chainId, block, looked, even, moreCount, lessCount, untoldCount, untoldReason } = findings;
  const shown = findings.drifts.slice(0, SHOWN);
  const hidden = moreCount + lessCount - shown.length;
  return [
    `Chain ${chainId}, balances after block ${block.number}: ${looked} looked at, ${even} hold what came in, ` +
      `${moreCount} hold more, ${lessCount} hold less${untoldCount === 0 ? "" : `, ${untoldCount} were not told`}`,
    ...(untoldReason === null ? [] : [`  not told: ${untoldReason}`]),
    ...shown.map(lineOf),
    ...(hidden === 0 ? [] : [`  and ${hidden} more`]),
  ].join("\n");
}

function lineOf(drift: Drift): string {
  const { decimals, driftBaseUnits, currency } = drift;
  const amount = (baseUnits: bigint) => formatAmount(baseUnits, decimals);
  const size = driftBaseUnits < 0n ? `−${amount(-driftBaseUnits)}` : `+${amount(driftBaseUnits)}`;
  return (
    `  ${checksumAddress(drift.address)} ${size} ${currency}: holds ${amount(drift.chainBaseUnits)}, ` +
    `came in ${amount(drift.cameInBaseUnits)}, credited ${amount(drift.creditedBaseUnits)}`
  );
}

/** Amounts as text: no program may round them. */
export function driftJson({ block, drifts, ...findings }: DriftFindings): object {
  return {
    ...findings,
    blockNumber: Number(block.number),
    blockHash: block.hash,
    drifts: drifts.map((drift) => ({
      address: checksumAddress(drift.address),
      currency: drift.currency,
      token: drift.token === null ? null : checksumAddress(drift.token),
      chainBaseUnits: drift.chainBaseUnits.toString(),
      cameInBaseUnits: drift.cameInBaseUnits.toString(),
      creditedBaseUnits: drift.creditedBaseUnits.toString(),
      driftBaseUnits: drift.driftBaseUnits.toString(),
    })),
  };
}
