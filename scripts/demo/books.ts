/** Three accounts of the same money, side by side: the chain's, the ledger's and the merchant's. */
import { formatUnits } from "viem";
import type { Api, DepositView } from "./api.ts";
import { ASSETS, type AssetPart, type Cast, USERS, type User } from "./cast.ts";
import { creditable, scanChain } from "./chain-scan.ts";
import type { Merchant } from "./merchant.ts";
import type { Cell, Narrator } from "./narrator.ts";
import { amountText, shortHash } from "./words.ts";

export interface BookLine {
  readonly user: User;
  readonly asset: AssetPart;
  readonly chain: bigint;
  readonly ledger: bigint;
  readonly merchant: bigint;
}

export interface Books {
  readonly lines: readonly BookLine[];
  readonly deposits: readonly DepositView[];
}

export async function readBooks(nodeUrl: string, cast: Cast, api: Api, merchant: Merchant): Promise<Books> {
  const received = await scanChain(nodeUrl, cast);
  const held = await merchant.holdings();
  const lines: BookLine[] = [];
  for (const user of USERS) {
    const balances = await api.balances(user);
    for (const asset of ASSETS) {
      const ledger = balances
        .filter(({ currency }) => currency === asset.currency)
        .reduce((sum, each) => sum + BigInt(each.availableBaseUnits) + BigInt(each.lockedBaseUnits), 0n);
      const line = {
        user,
        asset,
        chain: creditable(received, user, asset),
        ledger,
        merchant: held(user, asset),
      };
      if (line.chain > 0n || line.ledger > 0n || line.merchant > 0n) lines.push(line);
    }
  }
  return { lines, deposits: await api.listDeposits() };
}

export function doAgree(line: BookLine): boolean {
  return line.chain === line.ledger && line.ledger === line.merchant;
}

export function showDeposits(narrator: Narrator, deposits: readonly DepositView[]): void {
  narrator.title("Every deposit, as it stands now");
  const rows = deposits.map((deposit): Cell[] => [
    deposit.id.slice(0, 12),
    deposit.userId,
    amountText(deposit),
    String(deposit.blockNumber),
    shortHash(deposit.txHash),
    deposit.source,
    narrator.statusCell(deposit.status),
    deposit.reason?.replace("_", " ") ?? "",
  ]);
  const header = ["deposit", "user", "amount", "block", "transaction", "source", "status", ""];
  narrator.table(header, rows, new Set([2, 3]));
}

export function showBooks(narrator: Narrator, lines: readonly BookLine[]): void {
  narrator.title("What the chain says, what the ledger says, what the merchant holds");
  const rows = lines.map((line): Cell[] => {
    const inUnits = (amount: bigint) => formatUnits(amount, line.asset.decimals);
    return [
      line.user,
      line.asset.currency,
      inUnits(line.chain),
      inUnits(line.ledger),
      inUnits(line.merchant),
      doAgree(line) ? { text: "agree", style: "green" } : { text: "DIFFER", style: "red" },
    ];
  });
  narrator.table(["user", "asset", "the chain", "the ledger", "the merchant", ""], rows, new Set([2, 3, 4]));
}
