/** Transactions on a test chain: signed by the node and sent at once, or signed here and kept. */
import { encodeDeployData, encodeFunctionData, type Hex, keccak256 } from "viem";
import type { HDAccount } from "viem/accounts";
import type { Address, Hash } from "../core/hex.ts";
import { systemClock } from "../runtime/clock.ts";
import { contractCode, tokenAbi } from "./contracts.ts";
import type { TestToken, TokenOptions } from "./test-node.ts";

export type Request = <Result = unknown>(method: string, params?: readonly unknown[]) => Promise<Result>;

export interface TestTransaction {
  /** The first account if it is not given. */
  readonly from?: HDAccount;
  /** `null` makes a contract. */
  readonly to: Address | null;
  readonly valueWei?: bigint;
  readonly data?: Hex;
  /** Never estimated: an estimate refuses the very transactions that are to fail. */
  readonly gas?: bigint;
  /** The sender's next one if it is not given. */
  readonly nonce?: number;
}

export interface SignedTransaction {
  readonly raw: Hex;
  readonly hash: Hash;
  readonly nonce: number;
}

export interface Transactions {
  send(transaction: TestTransaction): Promise<Hash>;
  sendEth(to: Address, valueWei: bigint, from?: HDAccount): Promise<Hash>;
  sign(transaction: TestTransaction): Promise<SignedTransaction>;
  signAll(transactions: readonly TestTransaction[]): Promise<SignedTransaction[]>;
  sendRaw(raw: Hex): Promise<Hash>;
  deploy(initCode: Hex, valueWei?: bigint): Promise<Address>;
  deployToken(token?: TokenOptions): Promise<TestToken>;
  transferToken(token: TestToken, to: Address, amountBaseUnits: bigint, from?: HDAccount): Promise<Hash>;
}

interface Wiring {
  readonly request: Request;
  readonly chainId: number;
  readonly defaultSender: HDAccount;
  readonly accounts: readonly HDAccount[];
}

const MAX_FEE_WEI = 100_000_000_000n;
const TIP_WEI = 1_000_000_000n;
const PLAIN_GAS = 100_000n;
const CALL_GAS = 2_000_000n;
const INITIAL_TOKENS = 10n ** 30n;
const RECEIPT_TIMEOUT_MS = 30_000;

export function createTransactions(wiring: Wiring): Transactions {
  const { request, defaultSender } = wiring;

  const lastSends = new Map<Address, Promise<unknown>>();
  const send = (transaction: TestTransaction) => {
    const sendNow = () => request<Hash>("eth_sendTransaction", [toRpc(transaction, defaultSender)]);
    if (transaction.nonce !== undefined) return sendNow();
    // The node gives two sends at once the same nonce; so each sender's go one after the other.
    const sender = (transaction.from ?? defaultSender).address;
    const sending = (lastSends.get(sender) ?? Promise.resolve()).then(sendNow);
    // Its caller hears of a failure; the sender's next transaction must not.
    const settled = sending.catch(() => undefined);
    lastSends.set(sender, settled);
    return sending;
  };

  const signAll = async (transactions: readonly TestTransaction[]) => {
    const next = new Map<Address, number>();
    const signed: SignedTransaction[] = [];
    for (const transaction of transactions) {
      const sender = transaction.from ?? defaultSender;
      const nonce =
        transaction.nonce ?? next.get(sender.address) ?? (await pendingNonce(request, sender.address));
      next.set(sender.address, nonce + 1);
      signed.push(await signOne(transaction, sender, nonce, wiring.chainId));
    }
    return signed;
  };

  const deploy = async (initCode: Hex, valueWei = 0n) => {
    const hash = await send({ to: null, data: initCode, valueWei, gas: 5_000_000n });
    const receipt = await minedReceipt(request, hash);
    if (receipt.contractAddress === null) throw new Error(`Transaction ${hash} made no contract`);
    return receipt.contractAddress;
  };

  const deployToken = async (token: TokenOptions = {}) => {
    const { name = "Test dollar", symbol = "USDT", decimals = 6 } = token;
    const bytecode = await contractCode("Token");
    const address = await deploy(
      encodeDeployData({ abi: tokenAbi, bytecode, args: [name, symbol, decimals] }),
    );
    // One after the other: the node gives two that come at once the same nonce.
    const mints: Hash[] = [];
    for (const account of wiring.accounts) {
      const data = encodeFunctionData({
        abi: tokenAbi,
        functionName: "mint",
        args: [account.address, INITIAL_TOKENS],
      });
      mints.push(await send({ to: address, data }));
    }
    for (const hash of mints) await minedReceipt(request, hash);
    return { address, symbol, decimals };
  };

  const transferToken = (token: TestToken, to: Address, amountBaseUnits: bigint, from = defaultSender) =>
    send({
      from,
      to: token.address,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, amountBaseUnits] }),
    });

  return {
    send,
    sendEth: (to, valueWei, from = defaultSender) => send({ from, to, valueWei }),
    sign: async (transaction) => {
      const [signed] = await signAll([transaction]);
      if (signed === undefined) throw new Error("Nothing was signed");
      return signed;
    },
    signAll,
    sendRaw: (raw) => request<Hash>("eth_sendRawTransaction", [raw]),
    deploy,
    deployToken,
    transferToken,
  };
}

function toRpc(transaction: TestTransaction, defaultSender: HDAccount): Record<string, string> {
  return {
    from: (transaction.from ?? defaultSender).address,
    ...(transaction.to === null ? {} : { to: transaction.to }),
    ...(transaction.data === undefined ? {} : { data: transaction.data }),
    ...(transaction.nonce === undefined ? {} : { nonce: hex(transaction.nonce) }),
    value: hex(transaction.valueWei ?? 0n),
    gas: hex(gasOf(transaction)),
    maxFeePerGas: hex(MAX_FEE_WEI),
    maxPriorityFeePerGas: hex(TIP_WEI),
  };
}

async function signOne(
  transaction: TestTransaction,
  sender: HDAccount,
  nonce: number,
  chainId: number,
): Promise<SignedTransaction> {
  const raw = await sender.signTransaction({
    type: "eip1559",
    chainId,
    nonce,
    to: transaction.to,
    value: transaction.valueWei ?? 0n,
    data: transaction.data ?? "0x",
    gas: gasOf(transaction),
    maxFeePerGas: MAX_FEE_WEI,
    maxPriorityFeePerGas: TIP_WEI,
  });
  return { raw, hash: keccak256(raw), nonce };
}

function gasOf(transaction: TestTransaction): bigint {
  return transaction.gas ?? (transaction.data === undefined ? PLAIN_GAS : CALL_GAS);
}

async function pendingNonce(request: Request, sender: Address): Promise<number> {
  return Number(await request<string>("eth_getTransactionCount", [sender, "pending"]));
}

/** The receipt, after mining a block for it where the node has not done so by itself. */
async function minedReceipt(request: Request, hash: Hash): Promise<{ contractAddress: Address | null }> {
  const deadline = systemClock.monotonic() + RECEIPT_TIMEOUT_MS;
  while (systemClock.monotonic() < deadline) {
    const receipt = await request<{ status: string; contractAddress: Address | null } | null>(
      "eth_getTransactionReceipt",
      [hash],
    );
    if (receipt !== null && receipt.status !== "0x1") throw new Error(`Transaction ${hash} failed`);
    if (receipt !== null) return receipt;
    await request("evm_mine");
  }
  throw new Error(`Transaction ${hash} was not mined within ${RECEIPT_TIMEOUT_MS} ms`);
}

function hex(value: number | bigint): Hex {
  return `0x${value.toString(16)}`;
}
