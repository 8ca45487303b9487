/** How the demo writes things for people. */
import type { DepositView } from "./api.ts";

/** `1.5 ETH`; base units where the token's decimals are not known. */
export function amountText(deposit: Pick<DepositView, "amount" | "amountBaseUnits" | "currency">): string {
  return deposit.amount === null || deposit.currency === null
    ? `${deposit.amountBaseUnits} units`
    : `${deposit.amount} ${deposit.currency}`;
}

export function shortHash(hash: string): string {
  return `${hash.slice(0, 8)}…${hash.slice(-4)}`;
}

const REASONS: Readonly<Record<string, string>> = {
  below_minimum: "below the minimum",
  unlisted_asset: "a token that is not listed",
  own_transfer: "the merchant's own transfer",
};

/** What a status means for this deposit. */
export function detailText(deposit: DepositView): string {
  const { status, confirmations, creditAt, unlockAt, reason, sequence } = deposit;
  switch (status) {
    case "pending":
      return `${sequence > 1 ? "again, " : ""}${confirmations} of ${creditAt} confirmations`;
    case "credited":
      return unlockAt === "finalized" ? "unlocks when finalized" : `unlocks at ${unlockAt} confirmations`;
    case "unlocked":
      return unlockAt === "finalized" ? "finalized" : `${confirmations} confirmations`;
    case "ignored":
      return REASONS[reason ?? ""] ?? reason ?? "";
    case "orphaned":
    case "reversed":
      return "its block left the chain";
    default:
      return reason ?? "";
  }
}
