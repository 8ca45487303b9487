import { type Hex, keccak256, serializeTransaction, type TransactionSerializable, trim } from "viem";
import { describe, expect, it } from "vitest";
import { orderedTrieRoot } from "./ordered-trie.ts";
import type { Proof } from "./proof.ts";
import { createRlpWriter, writeDigits } from "./rlp.ts";
import { proveTransactionsRoot } from "./transactions-root.ts";

const TO: Hex = `0x${"ab".repeat(20)}`;
const R: Hex = "0xaff542c6e245c6ad0aa8e5341b41b8ab4bece99d1c5ae2ad6e05f4dbf16e23b8";
/** As one in 256 signatures has, this begins with a zero byte, which no encoding keeps. */
const S: Hex = "0x00a2dc22e49b0cf348217076f87c8a41439ea306ab59c8c2e80b48dcf663e3f5";
const FEES = { maxFeePerGas: 0x3c79fe84en, maxPriorityFeePerGas: 0x9502f900n };
const CALL = { chainId: 1, nonce: 300, gas: 21_000n, to: TO, value: 10n ** 18n, data: "0x" as Hex };
const ACCESS_LIST = [
  { address: TO, storageKeys: [`0x${"00".repeat(32)}`, `0x${"17".repeat(32)}`] as Hex[] },
  { address: `0x${"00".repeat(20)}` as Hex, storageKeys: [] },
];
const AUTHORIZATION = { chainId: 0, address: TO, nonce: 0, yParity: 1, r: R, s: S };

/** A transaction as a node tells it, and as viem, which is not ours, encodes it. */
interface Sample {
  readonly told: Record<string, unknown>;
  readonly encoded: Hex;
}

function sample(type: string, transaction: TransactionSerializable, v: bigint | null = null): Sample {
  const signature = v === null ? { r: R, s: S, yParity: 1 } : { r: R, s: S, v };
  const encoded = serializeTransaction(transaction, signature);
  const told = Object.fromEntries(Object.entries(transaction).map(([name, value]) => [name, toldAs(value)]));
  const parity = v === null ? { v: "0x1", yParity: "0x1" } : { v: toldAs(v) };
  const input = transaction.data ?? "0x";
  return {
    told: {
      ...told,
      data: undefined,
      sidecars: undefined,
      input,
      type,
      r: R,
      s: trim(S),
      ...parity,
      hash: keccak256(encoded),
    },
    encoded,
  };
}

function toldAs(value: unknown): unknown {
  if (typeof value === "number" || typeof value === "bigint") return `0x${value.toString(16)}`;
  if (Array.isArray(value)) return value.map(toldAs);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, toldAs(inner)]));
}

const LONG_DATA: Hex = `0x${"c0ffee".repeat(20_000)}`;

const LEGACY_SAMPLE = sample("0x0", { ...CALL, type: "legacy", gasPrice: 5n }, 38n);

const SAMPLES: readonly (readonly [name: string, sample: Sample])[] = [
  ["a legacy one with EIP-155", LEGACY_SAMPLE],
  [
    "a legacy one without EIP-155",
    sample("0x0", { ...CALL, chainId: undefined, type: "legacy", gasPrice: 5n }, 27n),
  ],
  ["a creation", sample("0x2", { ...CALL, ...FEES, type: "eip1559", to: null, data: LONG_DATA, nonce: 0 })],
  [
    "one with an access list",
    sample("0x1", { ...CALL, type: "eip2930", gasPrice: 7n, accessList: ACCESS_LIST }),
  ],
  ["one of EIP-1559", sample("0x2", { ...CALL, ...FEES, type: "eip1559", accessList: [], value: 0n })],
  [
    "one with blobs",
    sample("0x3", {
      ...CALL,
      ...FEES,
      type: "eip4844",
      accessList: ACCESS_LIST,
      maxFeePerBlobGas: 1n,
      blobVersionedHashes: [`0x01${"22".repeat(31)}`, `0x01${"00".repeat(31)}`],
      sidecars: false,
    } as TransactionSerializable),
  ],
  [
    "one of EIP-7702",
    sample("0x4", {
      ...CALL,
      ...FEES,
      type: "eip7702",
      accessList: [],
      authorizationList: [AUTHORIZATION, { ...AUTHORIZATION, chainId: 1, nonce: 129, yParity: 0 }],
    }),
  ],
];

function rootOf(encodings: readonly Hex[]): Hex {
  return orderedTrieRoot(createRlpWriter(), encodings.length, (writer, index) => {
    writeDigits(writer, encodings[index], "item");
  });
}

function prove(transactions: readonly unknown[], root: unknown): Proof {
  return proveTransactionsRoot(createRlpWriter(), transactions, root);
}

describe("the transactions' root", () => {
  it.each(SAMPLES)("is proved with %s, by an encoder that is not ours", (_, { told, encoded }) => {
    expect(prove([told], rootOf([encoded]))).toEqual({ isProved: true });
  });

  it("is proved with all of them", () => {
    const all = SAMPLES.map(([, { told }]) => told);
    expect(prove(all, rootOf(SAMPLES.map(([, { encoded }]) => encoded)))).toEqual({ isProved: true });
  });

  it.each(SAMPLES)("is not proved when any one field of %s is another", (_, { told, encoded }) => {
    const names = Object.keys(told).filter((name) => !["type", "data", "sidecars", "yParity"].includes(name));
    for (const name of names) {
      // The chain id of a legacy one is in its v, and a parity is told twice.
      if (told["type"] === "0x0" && name === "chainId") continue;
      if (told["type"] !== "0x0" && name === "v") continue;
      const changed = { ...told, [name]: otherThan(told[name]) };
      expect(prove([changed], rootOf([encoded])), name).toMatchObject({ isProved: false });
    }
    expect(prove([{ ...told, type: "0x55" }], rootOf([encoded]))).toMatchObject({ doubt: "unknown" });
  });

  it("asks for the hash of those alone that are named, and for what all of them say", () => {
    const told = SAMPLES.map(([, sample]) => sample.told);
    const root = rootOf(SAMPLES.map(([, { encoded }]) => encoded));
    const renamed = told.map((each, index) =>
      index === 2 ? { ...each, hash: `0x${"11".repeat(32)}` } : each,
    );
    const proveNamed = (transactions: readonly unknown[], ...named: number[]) =>
      proveTransactionsRoot(createRlpWriter(), transactions, root, new Set(named));
    expect(proveNamed(renamed)).toEqual({ isProved: true });
    expect(proveNamed(renamed, 0, 1)).toEqual({ isProved: true });
    expect(proveNamed(renamed, 0, 2)).toMatchObject({ doubt: "differs" });
    const changed = told.map((each, index) => (index === 3 ? { ...each, value: "0x7" } : each));
    expect(proveNamed(changed)).toMatchObject({ doubt: "differs" });
  });

  it("is not proved, and says why, with a type that is not known", () => {
    const { told } = LEGACY_SAMPLE;
    const strange = { hash: `0x${"11".repeat(32)}`, type: "0x7f", to: TO, value: "0x1" };
    expect(prove([told, strange], `0x${"00".repeat(32)}`)).toEqual({
      isProved: false,
      doubt: "unknown",
      reason: "The encoding of transactions of type 0x7f is not known here",
    });
  });

  it("is wrong, not unknown, when beside a type that is not known another one is not what its hash says", () => {
    const { told } = LEGACY_SAMPLE;
    const strange = { hash: `0x${"11".repeat(32)}`, type: "0x7f", to: TO, value: "0x1" };
    for (const transactions of [
      [strange, { ...told, value: "0x1" }],
      [{ ...told, value: "0x1" }, strange],
    ]) {
      expect(prove(transactions, `0x${"00".repeat(32)}`)).toMatchObject({ doubt: "differs" });
    }
  });

  it.each([
    ["hashes instead of transactions", `0x${"11".repeat(32)}`],
    ["null", null],
    ["a type that cannot be", { type: "0x80" }],
    ["a type that is a word", { type: "eip1559" }],
    ["no fields", {}],
    ["an address that is too short", { ...LEGACY_SAMPLE.told, to: "0xab" }],
    ["a recipient of no bytes", { ...LEGACY_SAMPLE.told, to: "0x" }],
    ["an access list that is none", { ...SAMPLES[3]?.[1].told, accessList: "0x" }],
    ["an authorization that is none", { ...SAMPLES[6]?.[1].told, authorizationList: [null] }],
  ])("is unreadable with %s", (_, transaction) => {
    expect(prove([transaction], `0x${"00".repeat(32)}`)).toMatchObject({ doubt: "unreadable" });
  });
});

function otherThan(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [ACCESS_LIST[1]] : value.slice(1);
  if (value === null || value === undefined) return TO;
  const text = String(value);
  if (text === "0x") return "0x00";
  return `${text.slice(0, -1)}${text.endsWith("7") ? "8" : "7"}`;
}

/** Of real chains for which the tests have no node: a transaction's hash must be that of its encoding. */
const OTHER_CHAINS: readonly (readonly [name: string, told: Record<string, unknown>])[] = [
  [
    "Base's deposit of what happened below, in its block 45733726",
    {
      type: "0x7e",
      sourceHash: "0xaa943be17c137fece0613f1590c9ce4f4060e4773cbd6cdd8872797a2929574c",
      from: "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
      to: "0x4200000000000000000000000000000000000015",
      mint: "0x0",
      value: "0x0",
      gas: "0xf4240",
      input: [
        "0x3db6be2b000008dd00101c1200000000000000000000000069fe0aef00000000017e413a0000000000000000",
        "000000000000000000000000000000000000000035d3993f000000000000000000000000000000000000000000",
        "0000000000000003313bde9769893c3700063346fb55688ff06a43e5a3915877d033e706853182b822acef0000",
        "000000000000000000005050f69a9786f081509234f1a7f4684b5e5b76c90000000000000000000000000094",
      ].join(""),
      hash: "0xbfd4ecde1bca0d8417de482af8db2121881b574b6250b4e7cb7deea2e78d5086",
    },
  ],
  [
    "a deposit to Base that mints, in its block 26632855",
    {
      type: "0x7e",
      sourceHash: "0x26eb0df3ebdb8eb11892a336b798948ec846c28200862a67aa32cfd57ca7da4f",
      from: "0x977f82a600a1414e583f7f13623f1ac5d58b1c0b",
      to: "0x4200000000000000000000000000000000000007",
      mint: "0x1c6bf52634000",
      value: "0x1c6bf52634000",
      gas: "0x77f2e",
      input: [
        "0xd764ad0b000100000000000000000000000000000000000000000000000000000005dacf0000000000000000",
        "000000003154cf16ccdb4c6d922629664174b904d80f2c35000000000000000000000000420000000000000000",
        "00000000000000000000100000000000000000000000000000000000000000000000000001c6bf526340000000",
        "000000000000000000000000000000000000000000000000000000030d40000000000000000000000000000000",
        "00000000000000000000000000000000c000000000000000000000000000000000000000000000000000000000",
        "000000c41635f5fd000000000000000000000000212241ad6a6a0a7553c4290f7bc517c1041df0be0000000000",
        "00000000000000d153f571d0a5a07133114bfe623d4d71e03ea5d7000000000000000000000000000000000000",
        "0000000000000001c6bf5263400000000000000000000000000000000000000000000000000000000000000000",
        "800000000000000000000000000000000000000000000000000000000000000018307837333735373036353732",
        "363237323639363436373635000000000000000000000000000000000000000000000000000000000000000000",
        "000000",
      ].join(""),
      hash: "0x3f44a72b1faf70be7295183f1f30cfb51ede92d7c44441ca80c9437a6a22e5a5",
    },
  ],
  [
    "Arbitrum One's own bookkeeping, in its block 201326592",
    {
      type: "0x6a",
      chainId: "0xa4b1",
      value: "0x0",
      from: "0x00000000000000000000000000000000000a4b05",
      to: "0x00000000000000000000000000000000000a4b05",
      input: [
        "0x6bf6a42d00000000000000000000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000012c04c1000000000000000000000000000000000000000000",
        "000000000000000c0000000000000000000000000000000000000000000000000000000000000000000000",
      ].join(""),
      hash: "0x431a1c991fe68597f472ddd6e675570b5e1e0825ea90da5195709658e77bfede",
    },
  ],
];

describe("a type of transaction that other chains have", () => {
  it.each(OTHER_CHAINS)("makes its own hash: %s", (_, told) => {
    // The hash is checked before the root, which is not known here.
    const proof = prove([told], `0x${"00".repeat(32)}`);
    expect(proof).toMatchObject({ doubt: "differs", reason: expect.stringContaining("transactions' root") });
    for (const name of [
      "input",
      ...("from" in told && told["type"] === "0x7e" ? ["from", "to", "value"] : []),
    ]) {
      const lie = prove([{ ...told, [name]: otherThan(told[name]) }], `0x${"00".repeat(32)}`);
      expect(lie, name).toMatchObject({ doubt: "differs", reason: expect.stringContaining("has the hash") });
    }
  });

  it("C12: has no value to believe where its encoding has none", () => {
    const [, told] = OTHER_CHAINS[2] ?? [];
    const proof = prove([{ ...told, to: TO, value: "0xde0b6b3a7640000" }], `0x${"00".repeat(32)}`);
    expect(proof).toMatchObject({ doubt: "differs", reason: expect.stringContaining("moves no value") });
  });
});
