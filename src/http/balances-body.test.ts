import { expect, test } from "vitest";
import { MAX_UINT256 } from "../core/amount.ts";
import type { UserBalance } from "../ledger/ledger-store.ts";
import { balancesBody } from "./balances-body.ts";

function balanceOf(given: Partial<UserBalance>): UserBalance {
  return {
    chainId: 1,
    token: null,
    currency: "USDT",
    decimals: 6,
    availableBaseUnits: 0n,
    lockedBaseUnits: 0n,
    owedBaseUnits: 0n,
    ...given,
  };
}

test("E2: adds up a currency over assets with other decimals, exactly", () => {
  const { currencies } = balancesBody("alice", [
    balanceOf({ availableBaseUnits: 1_000_001n }),
    balanceOf({
      chainId: 56,
      decimals: 18,
      availableBaseUnits: 2n * 10n ** 18n + 1n,
      lockedBaseUnits: 5n * 10n ** 17n,
    }),
    balanceOf({ currency: "ETH", decimals: 18, lockedBaseUnits: 1n }),
  ]);
  expect(currencies).toEqual([
    { currency: "USDT", available: "3.000001000000000001", locked: "0.5", owed: "0" },
    { currency: "ETH", available: "0", locked: "0.000000000000000001", owed: "0" },
  ]);
});

test("A12: shows totals above 2^256 exactly", () => {
  const most = balanceOf({ decimals: 0, availableBaseUnits: MAX_UINT256 });
  const { currencies } = balancesBody("alice", [most, { ...most, chainId: 56 }]);
  expect(currencies[0]?.available).toBe((2n * MAX_UINT256).toString());
});
