/**
 * Double entry. Pure: which postings an event makes. Amounts are signed from the side of those we owe: positive
 * is a credit, negative a debit, and the postings of an entry sum to zero.
 *
 *   credit     Dr custody              Cr receivable (what is owed, first)   Cr user locked (the rest)
 *   unlock     Dr user locked          Cr receivable (what is owed, first)   Cr user available (the rest)
 *   debit      Dr user available       Cr suspense
 *   reversal   Dr user locked (what is left of this credit), Dr available (what is there), Dr receivable (what is
 *              not)                    Cr custody
 *
 * A credit entry belongs to (deposit, generation): a deposit that is included again after a reversal is credited
 * by a new entry, never by the old one. docs/ledger.md shows each as T-accounts.
 */

/**
 * The system's own accounts, one of each for an asset. `custody` is what we hold on the chain; `suspense` is what
 * debits took from users and nobody here knows the use of. Neither keeps a stored balance.
 */
export interface SystemAccount {
  readonly kind: "custody" | "suspense";
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
  readonly kind: "credit" | "unlock" | "reversal" | "debit";
  /** What the entry is for: a deposit's id, or a debit's. */
  readonly reference: string;
  readonly generation: number;
  readonly postings: readonly Posting[];
}

/** What the ledger needs to know of a deposit, or of a debit. */
export interface LedgerItem {
  readonly reference: string;
  readonly generation: number;
  readonly merchantId: string;
  readonly userId: string;
  readonly assetId: number;
  readonly amountBaseUnits: bigint;
}

export function isSystemAccount(account: Account): account is SystemAccount {
  return account.kind === "custody" || account.kind === "suspense";
}

/** The account's name in the database, unique; a merchant's id holds no colon, so a user's id may. */
export function accountCode(account: Account): string {
  if (isSystemAccount(account)) return `${account.kind}:${account.assetId}`;
  return `${account.kind}:${account.assetId}:${account.merchantId}:${account.userId}`;
}

/** @param owedBaseUnits what the user owes, zero or more: it is repaid before anything is credited */
export function creditEntry(item: LedgerItem, owedBaseUnits = 0n): Entry {
  const repaid = smaller(owedBaseUnits, item.amountBaseUnits);
  return entry("credit", item, [
    { account: { kind: "custody", assetId: item.assetId }, amountBaseUnits: -item.amountBaseUnits },
    { account: userAccount("receivable", item), amountBaseUnits: repaid },
    { account: userAccount("locked", item), amountBaseUnits: item.amountBaseUnits - repaid },
  ]);
}

/**
 * @param lockedBaseUnits what the deposit's credit left locked: its amount, less what it repaid
 * @returns `null` when its credit was used up by what the user owed, so that there is nothing to unlock
 */
export function unlockEntry(
  item: LedgerItem,
  lockedBaseUnits = item.amountBaseUnits,
  owedBaseUnits = 0n,
): Entry | null {
  if (lockedBaseUnits === 0n) return null;
  const repaid = smaller(owedBaseUnits, lockedBaseUnits);
  return entry("unlock", item, [
    { account: userAccount("locked", item), amountBaseUnits: -lockedBaseUnits },
    { account: userAccount("receivable", item), amountBaseUnits: repaid },
    { account: userAccount("available", item), amountBaseUnits: lockedBaseUnits - repaid },
  ]);
}

export function debitEntry(item: LedgerItem): Entry {
  return entry("debit", item, [
    { account: userAccount("available", item), amountBaseUnits: -item.amountBaseUnits },
    { account: { kind: "suspense", assetId: item.assetId }, amountBaseUnits: item.amountBaseUnits },
  ]);
}

/** What there is to take a credit back from. */
export interface Standing {
  /** What this credit left locked, and still is; zero after its unlock. Others' locked amounts are not touched. */
  readonly lockedBaseUnits: bigint;
  /** What the user has available, from wherever. */
  readonly availableBaseUnits: bigint;
}

export interface Reversal {
  readonly entry: Entry;
  readonly takenFromAvailable: bigint;
  /** What the user no longer had, and owes since. */
  readonly shortfallBaseUnits: bigint;
}

/** Takes back a credit. It is never refused: what the user no longer has becomes a receivable. */
export function reversalOf(item: LedgerItem, standing: Standing): Reversal {
  const fromLocked = smaller(standing.lockedBaseUnits, item.amountBaseUnits);
  const takenFromAvailable = smaller(standing.availableBaseUnits, item.amountBaseUnits - fromLocked);
  const shortfallBaseUnits = item.amountBaseUnits - fromLocked - takenFromAvailable;
  return {
    entry: entry("reversal", item, [
      { account: userAccount("locked", item), amountBaseUnits: -fromLocked },
      { account: userAccount("available", item), amountBaseUnits: -takenFromAvailable },
      { account: userAccount("receivable", item), amountBaseUnits: -shortfallBaseUnits },
      { account: { kind: "custody", assetId: item.assetId }, amountBaseUnits: item.amountBaseUnits },
    ]),
    takenFromAvailable,
    shortfallBaseUnits,
  };
}

export function userAccount(kind: UserAccount["kind"], owner: Omit<UserAccount, "kind">): UserAccount {
  return { kind, assetId: owner.assetId, merchantId: owner.merchantId, userId: owner.userId };
}

function entry(kind: Entry["kind"], item: LedgerItem, postings: readonly Posting[]): Entry {
  return {
    kind,
    reference: item.reference,
    generation: item.generation,
    postings: postings.filter((posting) => posting.amountBaseUnits !== 0n),
  };
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
