/** Real blocks of a real node, whose own roots and hashes are the oracle. */
import { commitmentToVersionedHash, encodeFunctionData, type Hex } from "viem";
import type { HDAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Address } from "../../core/hex.ts";
import { loadFastKeccak } from "../../core/keccak.ts";
import { type Anvil, startAnvil, type TestToken } from "../../testing/anvil.ts";
import { contractCode, forwarderAbi, tokenAbi } from "../../testing/contracts.ts";
import { type BlockProof, proveBlock } from "./proof-level.ts";
import { proveSender } from "./prove-sender.ts";
import { createRlpWriter } from "./rlp.ts";

const WATCHED: Address = `0x${"ab".repeat(20)}`;
const GAS_PRICE = 100_000_000_000n;
const ALL_SURE = { tokenLogs: true, nativeValue: true, transactionHashes: true, withdrawals: true };

interface Transaction extends Record<string, unknown> {
  hash: string;
  type: string;
  from: string;
  to: string | null;
  value: string;
  input: string;
  nonce: string;
}
interface Receipt extends Record<string, unknown> {
  type: string;
  status: string;
  contractAddress: string | null;
  logs: { address: string; topics: string[]; data: string }[];
}
interface Block {
  header: Record<string, unknown>;
  transactions: Transaction[];
  receipts: Receipt[];
  withdrawals: unknown;
}

let chain: Anvil;
let token: TestToken;
let forwarder: Address;
/** Made once: every type of transaction and every way to move value, in one block. */
let mixed: Block;

beforeAll(async () => {
  await loadFastKeccak();
  chain = await startAnvil({ mining: "manual", hardfork: "prague" });
  token = await chain.deployToken();
  forwarder = await chain.deploy(await contractCode("Forwarder"));
  mixed = await makeMixedBlock();
});

afterAll(async () => {
  await chain.stop();
});

async function readBlock(number: bigint): Promise<Block> {
  const header = await chain.request<Record<string, unknown>>("eth_getBlockByNumber", [
    `0x${number.toString(16)}`,
    true,
  ]);
  const receipts = await chain.request<Receipt[]>("eth_getBlockReceipts", [header["hash"]]);
  const transactions = header["transactions"] as Transaction[];
  return { header, transactions, receipts, withdrawals: header["withdrawals"] };
}

async function mineAndRead(): Promise<Block> {
  return readBlock((await chain.mine()).number);
}

function transferData(to: Address, amount: bigint): Hex {
  return encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, amount] });
}

async function makeMixedBlock(): Promise<Block> {
  const { chainId } = chain;
  const call = { chainId, nonce: 0, to: token.address, data: transferData(WATCHED, 5n), gas: 200_000n };
  const fees = { maxFeePerGas: GAS_PRICE, maxPriorityFeePerGas: 1n };
  const accessList = [
    { address: token.address, storageKeys: [`0x${"00".repeat(32)}`, `0x${"11".repeat(32)}`] as Hex[] },
    { address: WATCHED, storageKeys: [] },
  ];
  const sign = (index: number) => {
    const account = chain.account(index);
    return account.signTransaction.bind(account);
  };
  const authorize = async (index: number) => {
    const { signAuthorization } = chain.account(index);
    if (signAuthorization === undefined) throw new Error("The account signs no authorizations");
    return signAuthorization({ contractAddress: forwarder, chainId, nonce: 0 });
  };
  const raws = [
    await sign(1)({ type: "legacy", ...call, gasPrice: GAS_PRICE }),
    // Signed as before EIP-155, for every chain.
    await sign(2)({ type: "legacy", nonce: 0, to: WATCHED, value: 7n, gas: 21_000n, gasPrice: GAS_PRICE }),
    await sign(3)({ type: "eip2930", ...call, gasPrice: GAS_PRICE, accessList }),
    await sign(4)({ type: "eip1559", ...call, ...fees, accessList, value: 0n }),
    await sign(5)({
      type: "eip7702",
      ...call,
      ...fees,
      to: WATCHED,
      value: 10n ** 18n,
      authorizationList: [await authorize(8), await authorize(9)],
    }),
  ];
  for (const raw of raws) await chain.sendRaw(raw);
  await chain.sendEth(WATCHED, 123_456_789_000_000_000n);
  await chain.send({ to: null, data: await contractCode("Leaver"), valueWei: 5n, gas: 3_000_000n });
  await chain.send({ to: token.address, data: transferData(WATCHED, 10n ** 40n), gas: 200_000n }); // reverts
  await chain.send({
    to: forwarder,
    data: encodeFunctionData({ abi: forwarderAbi, functionName: "forward", args: [WATCHED] }),
    valueWei: 9n,
    gas: 200_000n,
  });
  const block = await mineAndRead();
  if (block.transactions.length !== raws.length + 4) throw new Error("Not all transactions were mined");
  return block;
}

function first<Item>(items: readonly Item[], isWanted: (item: Item) => boolean): Item {
  const item = items.find(isWanted);
  if (item === undefined) throw new Error("The block has no such item");
  return item;
}

function changed(change: (block: Block) => void): BlockProof {
  const block = structuredClone(mixed);
  change(block);
  return proveBlock(block);
}

describe("a real block", () => {
  it("is proved with every type of transaction but blobs, a creation and a failure in it", () => {
    const types = new Set(mixed.transactions.map(({ type }) => type));
    expect([...types].sort()).toEqual(["0x0", "0x1", "0x2", "0x4"]);
    expect(mixed.receipts.some(({ status }) => status === "0x0")).toBe(true);
    const proof = proveBlock(mixed);
    expect(proof.unproved).toEqual([]);
    expect(proof).toMatchObject({ level: "proved", sure: ALL_SURE });
  });

  it("is proved when it is empty", async () => {
    const proof = proveBlock(await mineAndRead());
    expect(proof).toMatchObject({ level: "proved", sure: ALL_SURE, logCount: 0, unproved: [] });
  });

  it.each([1, 127, 128, 129, 200, 300])("is proved with %i transactions", async (count) => {
    const transfer = { to: token.address, data: transferData(WATCHED, 1n), gas: 100_000n };
    const { nonce } = await chain.sign(transfer);
    const transactions = await chain.signAll(
      Array.from({ length: count }, (_, index) => ({ ...transfer, nonce: nonce + index })),
    );
    const header = await chain.mineBlock({ transactions });
    const block = await readBlock(header.number);
    const proof = proveBlock(block);
    expect(proof).toMatchObject({ level: "proved", sure: ALL_SURE, logCount: count, unproved: [] });
  });

  it("is proved on every hard fork the node knows since London", async () => {
    for (const hardfork of ["london", "shanghai", "cancun", "osaka"]) {
      const other = await startAnvil({ mining: "manual", hardfork });
      try {
        await other.sendEth(WATCHED, 5n);
        const { number } = await other.mine();
        const header = await other.request<Record<string, unknown>>("eth_getBlockByNumber", [
          `0x${number.toString(16)}`,
          true,
        ]);
        const receipts = await other.request<Receipt[]>("eth_getBlockReceipts", [header["hash"]]);
        const transactions = header["transactions"] as Transaction[];
        const proof = proveBlock({ header, transactions, receipts, withdrawals: header["withdrawals"] });
        expect(proof.unproved, hardfork).toEqual([]);
        expect(proof, hardfork).toMatchObject({ level: "proved", sure: ALL_SURE });
      } finally {
        await other.stop();
      }
    }
  });
});

/**
 * anvil 1.7 puts the whole blob into its transactions' root, where every real chain puts the transaction without
 * it. `transactions-root.test.ts` has this type's encoding against an oracle that is not anvil.
 */
describe("a real block with a blob", () => {
  it("is proved but for the transactions' root, which the node has its own way to make", async () => {
    const raw = await signBlobTransaction(chain.account(6));
    await chain.sendRaw(raw);
    const block = await mineAndRead();
    expect(block.transactions.map(({ type }) => type)).toEqual(["0x3"]);
    const proof = proveBlock(block);
    expect(proof.sure).toMatchObject({ tokenLogs: true, withdrawals: true });
    expect(proof.logCount).toBe(1);
    // The transaction's own hash and its sender are as they should be.
    expect(proof.parts.transactions).toMatchObject({ reason: expect.stringContaining("transactions' root") });
    expect(proveSender(createRlpWriter(), block.transactions[0])).toEqual({ isProved: true });
  });
});

/** The polynomial that is zero everywhere: its commitment and its proof are the point at infinity. */
function signBlobTransaction(account: HDAccount): Promise<Hex> {
  const infinity: Hex = `0xc0${"00".repeat(47)}`;
  return account.signTransaction({
    type: "eip4844",
    chainId: chain.chainId,
    nonce: 0,
    to: token.address,
    data: transferData(WATCHED, 5n),
    gas: 200_000n,
    maxFeePerGas: GAS_PRICE,
    maxPriorityFeePerGas: 1n,
    maxFeePerBlobGas: GAS_PRICE,
    blobVersionedHashes: [commitmentToVersionedHash({ commitment: infinity })],
    sidecars: [{ blob: `0x${"00".repeat(131_072)}`, commitment: infinity, proof: infinity }],
  });
}

const isCreation = ({ to }: Transaction) => to === null;
const isPayment = ({ to, value }: Transaction) => to === WATCHED && value !== "0x0";
const hasLogs = ({ logs }: Receipt) => logs.length > 0;

describe("a lie about a real block", () => {
  it.each<[string, "transactions" | "receipts", (block: Block) => void]>([
    [
      "C12: another recipient of native value",
      "transactions",
      ({ transactions }) => {
        first(transactions, (transaction) => transaction.to !== WATCHED && transaction.to !== null).to =
          WATCHED;
      },
    ],
    [
      "C12: another native amount",
      "transactions",
      ({ transactions }) => {
        first(transactions, isPayment).value = "0x152d02c7e14af6800000";
      },
    ],
    [
      "C12: the hash of another transaction, in block and receipt",
      "transactions",
      (block) => {
        const hash = `0x${"77".repeat(32)}`;
        first(block.transactions, isPayment).hash = hash;
      },
    ],
    [
      "C12: another contract that a creation paid",
      "transactions",
      ({ receipts }) => {
        first(receipts, ({ contractAddress }) => contractAddress !== null).contractAddress = WATCHED;
      },
    ],
    [
      "C12: no contract that a creation paid",
      "transactions",
      ({ receipts }) => {
        first(receipts, ({ contractAddress }) => contractAddress !== null).contractAddress = null;
      },
    ],
    [
      "C12: a recipient of a creation",
      "transactions",
      ({ transactions }) => {
        first(transactions, isCreation).to = WATCHED;
      },
    ],
    [
      "C4: two transactions in each other's place",
      "transactions",
      ({ transactions }) => {
        transactions.reverse();
      },
    ],
    [
      "C3: a transaction left out, with its receipt",
      "transactions",
      (block) => {
        block.transactions.pop();
        block.receipts.pop();
      },
    ],
    [
      "C12: an invented transaction, with a receipt",
      "transactions",
      (block) => {
        block.transactions.push(structuredClone(first(block.transactions, isPayment)));
        block.receipts.push(structuredClone(first(block.receipts, ({ type }) => type === "0x0")));
      },
    ],
    [
      "C12: a transaction passed off as one of an unknown type",
      "transactions",
      ({ transactions }) => {
        first(transactions, isPayment).type = "0x55";
      },
    ],
    [
      "C2: a log left out",
      "receipts",
      ({ receipts }) => {
        first(receipts, hasLogs).logs.pop();
      },
    ],
    [
      "C12: an invented log",
      "receipts",
      ({ receipts }) => {
        const { logs } = first(receipts, hasLogs);
        const invented = first(logs, () => true);
        first(receipts, (receipt) => !hasLogs(receipt)).logs.push(structuredClone(invented));
      },
    ],
    [
      "C12: another token amount",
      "receipts",
      ({ receipts }) => {
        first(first(receipts, hasLogs).logs, () => true).data = `0x${"0".repeat(60)}ffff`;
      },
    ],
    [
      "A1: a failed transaction told as one that succeeded",
      "receipts",
      ({ receipts }) => {
        first(receipts, ({ status }) => status === "0x0").status = "0x1";
      },
    ],
  ])("is seen: %s", (_, part, lie) => {
    const proof = changed(lie);
    expect(proof.level).not.toBe("proved");
    expect(proof.parts[part]).toMatchObject({ isProved: false });
    expect(proof.parts[part]).not.toMatchObject({ doubt: "not_asked" });
    expect(proof.sure.nativeValue).toBe(false);
  });

  it("C4: is seen when the receipts are another block's", async () => {
    await chain.sendEth(WATCHED, 1n);
    const one = await mineAndRead();
    await chain.transferToken(token, WATCHED, 2n);
    const other = await mineAndRead();
    expect(proveBlock({ ...one, receipts: other.receipts }).parts.receipts).toMatchObject({
      doubt: "differs",
    });
    expect(proveBlock({ ...other, receipts: one.receipts }).level).toBe("none");
  });

  it("leaves the token logs sure where only a transaction is wrong", () => {
    const proof = changed(({ transactions }) => {
      first(transactions, isPayment).value = "0x1";
    });
    expect(proof.sure).toEqual({
      tokenLogs: true,
      nativeValue: false,
      transactionHashes: false,
      withdrawals: true,
    });
  });
});

describe("the sender of a real transaction", () => {
  it("is proved for every type", () => {
    const writer = createRlpWriter();
    for (const transaction of mixed.transactions) {
      expect(proveSender(writer, transaction), transaction.type).toEqual({ isProved: true });
    }
  });

  it("C12: is not proved when it is another", () => {
    for (const transaction of mixed.transactions) {
      const proof = proveSender(createRlpWriter(), { ...transaction, from: WATCHED });
      expect(proof, transaction.type).toMatchObject({ isProved: false, doubt: "differs" });
    }
  });

  it("is not proved, and nothing crashes, when the signature is none", () => {
    const payment = first(mixed.transactions, isPayment);
    for (const junk of ["0x0", `0x${"f".repeat(64)}`, "0x", null, 7, "0xzz"]) {
      for (const name of ["r", "s", "v"]) {
        const proof = proveSender(createRlpWriter(), { ...payment, [name]: junk, yParity: undefined });
        expect(proof.isProved, `${name} ${junk}`).toBe(false);
      }
    }
    expect(proveSender(createRlpWriter(), payment.hash).isProved).toBe(false);
  });
});
