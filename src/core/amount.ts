/**
 * Amounts are integers in base units (wei, 10⁻⁶ USDT, …) as `bigint`, up to 2²⁵⁶−1. A decimal point exists
 * only in text, for people; nothing here ever passes through a floating-point number.
 */
import { InputError } from "./errors.ts";

export const MAX_UINT256 = 2n ** 256n - 1n;

/**
 * Reads a decimal amount such as `"12.5"` as base units.
 *
 * @throws {InputError} `invalid_amount` for signs, exponents, more fraction digits than the asset has
 * (rounding money in silence is worse than refusing it), or more than 2²⁵⁶−1 base units.
 */
export function parseAmount(text: string, decimals: number, path = "amount"): bigint {
  const match = /^(\d{1,78})(?:\.(\d{1,78}))?$/.exec(text);
  const [, whole, fraction = ""] = match ?? [];
  if (whole === undefined) {
    throw new InputError("invalid_amount", `${path} must be a decimal number such as "12.5"`, {
      path,
      value: text,
    });
  }
  if (fraction.length > decimals) {
    throw new InputError("invalid_amount", `${path} has more than ${decimals} digits after the point`, {
      path,
      value: text,
    });
  }
  const amount = BigInt(whole + fraction.padEnd(decimals, "0"));
  if (amount > MAX_UINT256) {
    throw new InputError("invalid_amount", `${path} is larger than 2^256-1 base units`, {
      path,
      value: text,
    });
  }
  return amount;
}

/** Base units as a decimal without trailing zeros: `formatAmount(12500000n, 6)` is `"12.5"`. */
export function formatAmount(amountBaseUnits: bigint, decimals: number): string {
  const sign = amountBaseUnits < 0n ? "-" : "";
  const digits = (amountBaseUnits < 0n ? -amountBaseUnits : amountBaseUnits)
    .toString()
    .padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return sign + whole + (fraction === "" ? "" : `.${fraction}`);
}
