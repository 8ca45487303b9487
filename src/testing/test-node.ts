/**
 * A real chain of a process of its own, whichever program runs it, with what it takes to make transactions and
 * **real competing branches** on it.
 *
 * After `mineBranch` has gone back to the fork point, the blocks of the branch before are unknown to the node,
 * by number and by hash. That is how a reorg looks to whoever follows it.
 */
import { createTestClient, type Hex, http, publicActions, walletActions } from "viem";
import { type HDAccount, mnemonicToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { BlockHeader } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import { type BranchBlock, createBranches, type ForkPoint, type Miner } from "./branches.ts";
import type { NodeProcess } from "./node-process.ts";
import {
  createTransactions,
  type Request,
  type SignedTransaction,
  type TestTransaction,
} from "./test-transactions.ts";

export interface TestNode {
  readonly url: string;
  readonly wsUrl: string;
  readonly chainId: number;
  readonly pid: number;
  /** Funded with 1,000,000 coins each; the node can sign for them too. */
  readonly accounts: readonly HDAccount[];
  /** viem's test, public and wallet actions on this node; the test actions are anvil's own. */
  readonly client: ReturnType<typeof createClient>;
  account(index: number): HDAccount;
  /** One JSON-RPC request. */
  request<Result = unknown>(method: string, params?: readonly unknown[]): Promise<Result>;
  head(): Promise<BlockHeader>;
  headerAt(blockNumber: bigint): Promise<BlockHeader>;
  /** Mines so many blocks with what is in the mempool, in order of arrival. Answers the last one. */
  mine(count?: number): Promise<BlockHeader>;
  /** Mines one block with these signed transactions first, in this order. */
  mineBlock(block?: BranchBlock): Promise<BlockHeader>;
  /** Lets the node sign and send. Answers the hash; in `manual` mining it stays in the mempool. */
  send(transaction: TestTransaction): Promise<Hash>;
  sendEth(to: Address, valueWei: bigint, from?: HDAccount): Promise<Hash>;
  /** Signs and does not send: to be put into a block of one branch or more. */
  sign(transaction: TestTransaction): Promise<SignedTransaction>;
  /** Signs many at once for one sender, with nonces in order. */
  signAll(transactions: readonly TestTransaction[]): Promise<SignedTransaction[]>;
  sendRaw(raw: Hex): Promise<Hash>;
  /** Deploys and mines, in every mining mode. */
  deploy(initCode: Hex, valueWei?: bigint): Promise<Address>;
  /** A token with 10³⁰ base units for each account. */
  deployToken(token?: TokenOptions): Promise<TestToken>;
  transferToken(token: TestToken, to: Address, amountBaseUnits: bigint, from?: HDAccount): Promise<Hash>;
  /** Where branches will part: the head as it is now. */
  forkPoint(): Promise<ForkPoint>;
  /** Goes back to the fork point and mines these blocks on it. Each call makes another branch. */
  mineBranch(point: ForkPoint, blocks: readonly BranchBlock[]): Promise<BlockHeader[]>;
  stop(): Promise<void>;
}

export interface TokenOptions {
  readonly name?: string;
  readonly symbol?: string;
  readonly decimals?: number;
}

export interface TestToken {
  readonly address: Address;
  readonly symbol: string;
  readonly decimals: number;
}

/** The phrase that every node for developers knows. */
export const MNEMONIC = "test test test test test test test test test test test junk";
export const DEFAULT_ACCOUNTS = 10;

interface TestNodeParts {
  readonly process: NodeProcess;
  readonly chainId: number;
  readonly accountCount: number;
  readonly minerOf: (request: Request) => Miner;
}

/** @param parts a node that answers, with `accountCount` funded accounts of `MNEMONIC` */
export function createTestNode(parts: TestNodeParts): TestNode {
  const { process, chainId } = parts;
  const url = `http://127.0.0.1:${process.port}`;
  const client = createClient(url, chainId);
  const accounts = Array.from({ length: parts.accountCount }, (_, index) => accountNumber(index));
  const account = (index: number): HDAccount => {
    const found = accounts[index];
    if (found === undefined) throw new Error(`The node has ${accounts.length} accounts, no number ${index}`);
    return found;
  };
  const request = <Result>(method: string, params: readonly unknown[] = []): Promise<Result> =>
    client.request({ method, params } as never) as Promise<Result>;

  const branches = createBranches(request, parts.minerOf(request));
  const transactions = createTransactions({ request, chainId, defaultSender: account(0), accounts });
  return {
    url,
    wsUrl: `ws://127.0.0.1:${process.port}`,
    chainId,
    pid: process.pid,
    accounts,
    client,
    account,
    request,
    ...branches,
    ...transactions,
    stop: process.stop,
  };
}

/** With its address in lower case, as everywhere inside the program. */
function accountNumber(addressIndex: number): HDAccount {
  const account = mnemonicToAccount(MNEMONIC, { addressIndex });
  return { ...account, address: account.address.toLowerCase() as Address };
}

function createClient(url: string, chainId: number) {
  return createTestClient({
    mode: "anvil",
    chain: { ...foundry, id: chainId },
    transport: http(url, { retryCount: 0, timeout: 60_000 }),
  })
    .extend(publicActions)
    .extend(walletActions);
}
