/**
 * Double entry. Pure: which postings an event makes. Amounts are signed from the side of those we owe: positive
 * is a credit, negative a debit, and the postings of an entry sum to zero.
 *
 *   credit     Dr custody              Cr user locked
 *   unlock     Dr user locked          Cr user available
 *   reversal   Dr user locked or available (what is left there), Dr receivable (what is not)   Cr custody
 *
 * A credit entry belongs to (deposit, generation): a deposit that is included again after a reversal is credited
 * by a new entry, never by the old one.
 */

/** The system's own account, one for each asset: what we hold on the chain. It keeps no stored balance. */
export interface SystemAccount {
  readonly kind: "custody";
  readonly assetId: number;
}

/** A user's accounts: credited but not free, free, and what the user owes after a reversal. */
export interface UserAccount {
  readonly kind: "locked" | "available" | "receivable";
  readonly assetId: number;
  readonly merchantId: string;
  readonly userId: string;
}

export type Account = SystemAccount | UserAccount;

export interface Posting {
  readonly account: Account;
  readonly amountBaseUnits: bigint;
}

export interface Entry {
  readonly kind: "credit" | "unlock" | "reversal";
  /** What the entry is for: a deposit's id. */
  readonly reference: string;
  readonly generation: number;
  readonly postings: readonly Posting[];
}

/** What the ledger needs to know of a deposit. */
export interface LedgerItem {
  readonly reference: string;
  readonly generation: number;
  readonly merchantId: string;
  readonly userId: string;
  readonly assetId: number;
  readonly amountBaseUnits: bigint;
}

/** The account's name in the database, unique; a merchant's id holds no colon, so a user's id may. */
export function accountCode(account: Account): string {
  if (account.kind === "custody") return `custody:${account.assetId}`;
  return `${account.kind}:${account.assetId}:${account.merchantId}:${account.userId}`;
}

export function creditEntry(item: LedgerItem): Entry {
  return entry("credit", item, [
    { account: { kind: "custody", assetId: item.assetId }, amountBaseUnits: -item.amountBaseUnits },
    { account: userAccount("locked", item), amountBaseUnits: item.amountBaseUnits },
  ]);
}

export function unlockEntry(item: LedgerItem): Entry {
  return entry("unlock", item, [
    { account: userAccount("locked", item), amountBaseUnits: -item.amountBaseUnits },
    { account: userAccount("available", item), amountBaseUnits: item.amountBaseUnits },
  ]);
}

/**
 * Takes back a credit. It is never refused: what the account no longer has becomes a receivable.
 *
 * @param from where the deposit's amount stood: `locked` before its unlock, `available` after
 * @param balanceBaseUnits what stands there now, zero or more
 */
export function reversalEntry(
  item: LedgerItem,
  from: "locked" | "available",
  balanceBaseUnits: bigint,
): Entry {
  const taken = balanceBaseUnits < item.amountBaseUnits ? balanceBaseUnits : item.amountBaseUnits;
  const shortfall = item.amountBaseUnits - taken;
  const postings: Posting[] = [
    { account: userAccount(from, item), amountBaseUnits: -taken },
    { account: userAccount("receivable", item), amountBaseUnits: -shortfall },
    { account: { kind: "custody", assetId: item.assetId }, amountBaseUnits: item.amountBaseUnits },
  ];
  return entry(
    "reversal",
    item,
    postings.filter((posting) => posting.amountBaseUnits !== 0n),
  );
}

export function userAccount(kind: UserAccount["kind"], owner: Omit<UserAccount, "kind">): UserAccount {
  return { kind, assetId: owner.assetId, merchantId: owner.merchantId, userId: owner.userId };
}

function entry(kind: Entry["kind"], item: LedgerItem, postings: readonly Posting[]): Entry {
  return { kind, reference: item.reference, generation: item.generation, postings };
}
