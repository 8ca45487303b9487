/**
 * A chain with a history to catch up with: blocks full of transfers, some of them to watched addresses. Half of
 * the transfers are made ten at a time by a batcher contract, as exchanges pay out; the other half one by one.
 */
import { encodeFunctionData } from "viem";
import type { Address } from "../../src/core/hex.ts";
import { type Anvil, startAnvil, type TestToken } from "../../src/testing/anvil.ts";
import { batcherAbi, contractCode, tokenAbi } from "../../src/testing/contracts.ts";
import { addressOf } from "../../src/testing/factory.ts";

export interface PreparedChain {
  readonly anvil: Anvil;
  readonly token: TestToken;
  /** Addresses that a part of the transfers went to. */
  readonly watched: readonly Address[];
  /** The first and the last block of the history. */
  readonly from: bigint;
  readonly to: bigint;
  readonly transfersPerBlock: number;
  /** Transfers to watched addresses in all. */
  readonly depositCount: number;
}

export interface PreparedChainOptions {
  readonly blocks: number;
  readonly transfersPerBlock: number;
  readonly watchedPerBlock: number;
}

const SENDERS = 10;
const PER_BATCH = 10;

export async function prepareChain(options: PreparedChainOptions): Promise<PreparedChain> {
  const anvil = await startAnvil({ mining: "manual" });
  const token = await anvil.deployToken();
  const batcher = await anvil.deploy(await contractCode("Batcher"));
  const watched = Array.from({ length: 1_000 }, (_, index) => addressOf(`watched ${index}`));
  await unlockSenders(anvil, token, batcher);
  const from = (await anvil.head()).number + 1n;
  const nonces = await noncesOf(anvil);
  let payee = 0;
  for (let block = 0; block < options.blocks; block++) {
    const payees = Array.from({ length: options.transfersPerBlock }, (_, index) =>
      index < options.watchedPerBlock
        ? (watched[payee++ % watched.length] as Address)
        : addressOf(`stranger ${block} ${index}`),
    );
    await sendAll(anvil, transactionsOf(payees, token, batcher), nonces);
    await anvil.request("evm_mine");
  }
  const head = await anvil.head();
  return {
    anvil,
    token,
    watched,
    from,
    to: head.number,
    transfersPerBlock: options.transfersPerBlock,
    depositCount: options.blocks * options.watchedPerBlock,
  };
}

async function unlockSenders(anvil: Anvil, token: TestToken, batcher: Address): Promise<void> {
  const data = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 10n ** 29n] });
  for (let index = 0; index < SENDERS; index++)
    await anvil.send({ from: anvil.account(index), to: token.address, data });
  await anvil.mine();
}

interface Call {
  readonly to: Address;
  readonly value?: string;
  readonly data?: string;
}

/** A quarter native, a quarter single token transfers, the rest in batches. */
function transactionsOf(payees: readonly Address[], token: TestToken, batcher: Address): Call[] {
  const quarter = Math.floor(payees.length / 4);
  const natives = payees.slice(0, quarter).map((to) => ({ to, value: "0x38d7ea4c68000" }));
  const singles = payees.slice(quarter, 2 * quarter).map((to) => ({
    to: token.address,
    data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, 1_000_000n] }),
  }));
  const batches: Call[] = [];
  for (let at = 2 * quarter; at < payees.length; at += PER_BATCH) {
    const payments = payees
      .slice(at, at + PER_BATCH)
      .map((to) => ({ token: token.address, to, value: 1_000_000n }));
    batches.push({
      to: batcher,
      data: encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [payments] }),
    });
  }
  return [...natives, ...singles, ...batches];
}

/** One batch request: the node signs for its own accounts, which is quicker than signing here. */
async function sendAll(anvil: Anvil, calls: readonly Call[], nonces: number[]): Promise<void> {
  const body = calls.map((call, id) => ({
    jsonrpc: "2.0",
    id,
    method: "eth_sendTransaction",
    params: [
      {
        from: anvil.account(id % SENDERS).address,
        nonce: nextNonce(nonces, id % SENDERS),
        gas: "0x1e8480",
        maxFeePerGas: "0x174876e800",
        maxPriorityFeePerGas: "0x0",
        ...call,
      },
    ],
  }));
  const response = await fetch(anvil.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answers = (await response.json()) as { error?: { message: string } }[];
  const failed = answers.find((answer) => answer.error !== undefined);
  if (failed !== undefined) throw new Error(`The node refused a transaction: ${failed.error?.message}`);
}

/** Said with each transaction: the node gives several that come at once the same one. */
async function noncesOf(anvil: Anvil): Promise<number[]> {
  const nonces: number[] = [];
  for (let index = 0; index < SENDERS; index++) {
    const count = await anvil.request<string>("eth_getTransactionCount", [
      anvil.account(index).address,
      "latest",
    ]);
    nonces.push(Number(count));
  }
  return nonces;
}

function nextNonce(nonces: number[], sender: number): string {
  const nonce = nonces[sender] ?? 0;
  nonces[sender] = nonce + 1;
  return `0x${nonce.toString(16)}`;
}
