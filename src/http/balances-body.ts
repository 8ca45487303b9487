/** Balances as programs outside see them. */
import { formatAmount } from "../core/amount.ts";
import { checksumAddress } from "../core/hex.ts";
import type { UserBalance } from "../ledger/ledger-store.ts";
import type { BalancesBody } from "./answers.ts";

export function balancesBody(userId: string, balances: readonly UserBalance[]): BalancesBody {
  return { userId, assets: balances.map(assetBody), currencies: currencyTotals(balances) };
}

function assetBody(balance: UserBalance): BalancesBody["assets"][number] {
  const { chainId, currency, token, decimals, availableBaseUnits, lockedBaseUnits, owedBaseUnits } = balance;
  return {
    chainId,
    currency,
    token: token === null ? null : checksumAddress(token),
    decimals,
    available: formatAmount(availableBaseUnits, decimals),
    availableBaseUnits: availableBaseUnits.toString(),
    locked: formatAmount(lockedBaseUnits, decimals),
    lockedBaseUnits: lockedBaseUnits.toString(),
    owed: formatAmount(owedBaseUnits, decimals),
    owedBaseUnits: owedBaseUnits.toString(),
  };
}

/**
 * One currency may be several assets with different decimals (USDT has 6 on Ethereum and 18 on BSC). They are
 * scaled up to the most digits among them and added as integers, so nothing is ever rounded.
 */
function currencyTotals(balances: readonly UserBalance[]): BalancesBody["currencies"] {
  return [...new Set(balances.map((balance) => balance.currency))].map((currency) => {
    const assets = balances.filter((balance) => balance.currency === currency);
    const decimals = Math.max(...assets.map((asset) => asset.decimals));
    const total = (amount: (asset: UserBalance) => bigint) =>
      assets.reduce((sum, asset) => sum + amount(asset) * 10n ** BigInt(decimals - asset.decimals), 0n);
    return {
      currency,
      available: formatAmount(
        total((asset) => asset.availableBaseUnits),
        decimals,
      ),
      locked: formatAmount(
        total((asset) => asset.lockedBaseUnits),
        decimals,
      ),
      owed: formatAmount(
        total((asset) => asset.owedBaseUnits),
        decimals,
      ),
    };
  });
}
