/**
 * A real chain for tests, the demo and benchmarks: an anvil node of its own process, with what it takes to make
 * transactions and **real competing branches** on it.
 *
 * After `mineBranch` has gone back to the fork point, the blocks of the branch before are unknown to the node,
 * by number and by hash. That is how a reorg looks to whoever follows it.
 */
import { createTestClient, type Hex, http, publicActions, walletActions } from "viem";
import { type HDAccount, mnemonicToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { BlockHeader } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import { startAnvilProcess } from "./anvil-process.ts";
import { type BranchBlock, createBranches, type ForkPoint } from "./branches.ts";
import { createTransactions, type SignedTransaction, type TestTransaction } from "./test-transactions.ts";

export interface AnvilOptions {
  /** `auto`: a block for each transaction; `manual`: only `mine` makes blocks; or one every so many seconds. */
  readonly mining?: "auto" | "manual" | { readonly blockTimeSeconds: number };
  readonly chainId?: number;
  /** `safe` and `finalized` lag one and two epochs behind the head. anvil's own default is 32. */
  readonly slotsInAnEpoch?: number;
  readonly hardfork?: string;
  readonly accounts?: number;
  /** 0: any free port. */
  readonly port?: number;
  /** More arguments for the command line. */
  readonly args?: readonly string[];
}

export interface Anvil {
  readonly url: string;
  readonly wsUrl: string;
  readonly chainId: number;
  readonly pid: number;
  /** Funded with 1,000,000 coins each; the node can sign for them too. */
  readonly accounts: readonly HDAccount[];
  /** viem's test, public and wallet actions on this node. */
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

const MNEMONIC = "test test test test test test test test test test test junk";

/** Starts the node and waits until it answers. Stop it when done; it also ends with this process. */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const chainId = options.chainId ?? foundry.id;
  const node = await startAnvilProcess(commandLine(options, chainId));
  const url = `http://127.0.0.1:${node.port}`;
  const client = createClient(url, chainId);
  const accounts = Array.from({ length: options.accounts ?? 10 }, (_, index) => accountNumber(index));
  const account = (index: number): HDAccount => {
    const found = accounts[index];
    if (found === undefined) throw new Error(`anvil has ${accounts.length} accounts, no number ${index}`);
    return found;
  };
  const request = <Result>(method: string, params: readonly unknown[] = []): Promise<Result> =>
    client.request({ method, params } as never) as Promise<Result>;

  const branches = createBranches(request, options.mining ?? "auto");
  const transactions = createTransactions({ request, chainId, defaultSender: account(0), accounts });
  return {
    url,
    wsUrl: `ws://127.0.0.1:${node.port}`,
    chainId,
    pid: node.pid,
    accounts,
    client,
    account,
    request,
    ...branches,
    ...transactions,
    stop: node.stop,
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

function commandLine(options: AnvilOptions, chainId: number): string[] {
  const mining = options.mining ?? "auto";
  return [
    ["--port", String(options.port ?? 0)],
    ["--chain-id", String(chainId)],
    ["--accounts", String(options.accounts ?? 10)],
    ["--balance", "1000000"],
    ["--mnemonic", MNEMONIC],
    // Blocks hold transactions as they came, so that a test decides on their order.
    ["--order", "fifo"],
    ["--gas-limit", "1000000000"],
    mining === "manual" ? ["--no-mining"] : [],
    typeof mining === "object" ? ["--block-time", String(mining.blockTimeSeconds)] : [],
    options.slotsInAnEpoch === undefined ? [] : ["--slots-in-an-epoch", String(options.slotsInAnEpoch)],
    options.hardfork === undefined ? [] : ["--hardfork", options.hardfork],
    options.args ?? [],
  ].flat();
}
