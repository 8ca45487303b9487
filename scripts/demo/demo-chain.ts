/** The demo's hand on the chain: makes payments, mines them when the story says so, and branches that compete. */
import { encodeFunctionData, type Hex, zeroAddress } from "viem";
import type { Address, Hash } from "../../src/core/hex.ts";
import type { Anvil } from "../../src/testing/anvil.ts";
import type { ForkPoint } from "../../src/testing/branches.ts";
import { batcherAbi, tokenAbi } from "../../src/testing/contracts.ts";
import type { SignedTransaction } from "../../src/testing/test-transactions.ts";
import { type AssetPart, baseUnits, type Cast, ETH, USDT, type User } from "./cast.ts";
import type { Narrator } from "./narrator.ts";

/** A signed transaction that waits for its block. */
export interface Payment {
  readonly hash: Hash;
  /** What it does, for people. */
  readonly label: string;
  /** How many deposits are to be found in it. */
  readonly deposits: number;
  readonly signed: SignedTransaction;
}

export interface Share {
  readonly to: User;
  readonly amount: string;
  readonly asset: AssetPart;
}

export interface DemoChain {
  eth(to: User, amount: string): Promise<Payment>;
  usdt(to: User, amount: string): Promise<Payment>;
  /** The same units of a contract that only has the name of USDT. */
  lookAlike(to: User, amount: string): Promise<Payment>;
  /** Several payments in one transaction; the coins among them move in inner calls. */
  batch(shares: readonly Share[]): Promise<Payment>;
  /** A payment that reverts: it shows a value and moves none. */
  failing(to: User, amount: string): Promise<Payment>;
  /** A payment to somebody whom nobody watches, with the nonce of another: only one of the two can be mined. */
  insteadOf(payment: Payment): Promise<Payment>;
  /** A token transfer to somebody whom nobody watches. */
  unrelated(): Promise<Payment>;
  /** Mines these in one block. */
  block(...payments: readonly Payment[]): Promise<void>;
  /** Mines so many blocks with nothing in them. */
  blocks(count: number): Promise<void>;
  /** Where branches will part. */
  forkPoint(): Promise<ForkPoint>;
  /** Goes back to the fork point and mines these blocks there: a real competing branch. */
  branch(point: ForkPoint, blocks: readonly (readonly Payment[])[], text: string): Promise<void>;
}

const STRANGER: Address = "0x000000000000000000000000000000000000dEaD";

export function createDemoChain(anvil: Anvil, cast: Cast, narrator: Narrator): DemoChain {
  const payerOf = new Map<Hash, number>();
  let payments = 0;

  /** Each payment has another payer, so that those of one block need no order among their nonces. */
  const pay = async (
    label: string,
    call: { to: Address; valueWei?: bigint; data?: Hex; gas?: bigint; deposits?: number },
    payer = payments++ % anvil.accounts.length,
  ): Promise<Payment> => {
    const { deposits = 1, ...transaction } = call;
    const signed = await anvil.sign({ ...transaction, from: anvil.account(payer) });
    payerOf.set(signed.hash, payer);
    return { hash: signed.hash, label, deposits, signed };
  };
  const transfer = (token: Address, to: Address, amount: string) => ({
    to: token,
    data: encodeFunctionData({
      abi: tokenAbi,
      functionName: "transfer",
      args: [to, baseUnits(USDT, amount)],
    }),
  });
  // Told before it happens: what follows from it must not be told before it.
  const tell = (blockNumber: bigint, included: readonly Payment[]) => {
    for (const { label } of included) narrator.act("chain", label, `block ${blockNumber}`);
  };

  return {
    eth: (to, amount) =>
      pay(`${amount} ETH to ${to}`, { to: cast.addressOf[to], valueWei: baseUnits(ETH, amount) }),
    usdt: (to, amount) => pay(`${amount} USDT to ${to}`, transfer(cast.usdt, cast.addressOf[to], amount)),
    lookAlike: (to, amount) =>
      pay(
        `${amount} of another contract's "USDT" to ${to}`,
        transfer(cast.lookAlike, cast.addressOf[to], amount),
      ),
    batch: (shares) =>
      pay(`one transaction: ${shares.map(describe).join(", ")}`, {
        ...batchCall(shares, cast),
        deposits: shares.length,
      }),
    failing: (to, amount) =>
      pay(`${amount} ETH to ${to}, in a transaction that fails`, {
        to: cast.addressOf[to],
        valueWei: baseUnits(ETH, amount),
        // dave's address is a contract without such a function.
        data: "0xdeadbeef",
        deposits: 0,
      }),
    insteadOf: (payment) =>
      pay(
        `the sender pays somebody else with the same nonce`,
        { to: STRANGER, valueWei: 1n, deposits: 0 },
        payerOf.get(payment.hash),
      ),
    unrelated: () => pay("7 USDT to a stranger", { ...transfer(cast.usdt, STRANGER, "7"), deposits: 0 }),
    block: async (...included) => {
      const { number } = await anvil.head();
      tell(number + 1n, included);
      await anvil.mineBlock({ transactions: included.map(({ signed }) => signed) });
    },
    blocks: async (count) => {
      const { number } = await anvil.head();
      narrator.act("chain", `${count} more blocks`, `block ${number + BigInt(count)}`);
      await anvil.mine(count);
    },
    forkPoint: () => anvil.forkPoint(),
    branch: async (point, blocks, text) => {
      const parent = point.block.number;
      narrator.act("chain", text, `from ${parent + 1n}`);
      for (const [index, included] of blocks.entries()) tell(parent + 1n + BigInt(index), included);
      await anvil.mineBranch(
        point,
        blocks.map((included) => ({ transactions: included.map(({ signed }) => signed) })),
      );
    },
  };
}

function describe(share: Share): string {
  return `${share.amount} ${share.asset.currency} to ${share.to}`;
}

function batchCall(shares: readonly Share[], cast: Cast): { to: Address; valueWei: bigint; data: Hex } {
  const payments = shares.map(({ to, amount, asset }) => ({
    token: asset === ETH ? zeroAddress : cast.usdt,
    to: cast.addressOf[to],
    value: baseUnits(asset, amount),
  }));
  const valueWei = payments
    .filter(({ token }) => token === zeroAddress)
    .reduce((total, { value }) => total + value, 0n);
  const data = encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [payments] });
  return { to: cast.batcher, valueWei, data };
}
