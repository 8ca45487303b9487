import { type Hex, keccak256, toRlp } from "viem";
import { describe, expect, it } from "vitest";
import { bloomOf, proveBlooms } from "./logs-bloom.ts";
import type { Proof } from "./proof.ts";
import { proveReceiptsRoot } from "./receipts-root.ts";
import { createRlpWriter } from "./rlp.ts";

const TOKEN: Hex = `0x${"ab".repeat(20)}`;
const TOPICS: Hex[] = [`0x${"dd".repeat(32)}`, `0x${"01".repeat(32)}`];
const LOG = { address: TOKEN, topics: TOPICS, data: "0x0102" as Hex };
const BLOOM: Hex = `0x${bloomOf([LOG]).toString("hex")}`;
const RECEIPT = { status: "0x1", cumulativeGasUsed: "0x5208", logsBloom: BLOOM, logs: [LOG] };
/** The same in the order of its encoding. */
const ENCODED = ["0x01", "0x5208", BLOOM, [[TOKEN, TOPICS, "0x0102"]]] as const;
const EMPTY_BLOOM: Hex = `0x${"00".repeat(256)}`;

/** The root over one item, by the Yellow Paper: a leaf with the whole of the key rlp(0), which is 0x80. */
function rootOfOne(encoded: Hex): Hex {
  return keccak256(toRlp(["0x2080", encoded]));
}

function prove(receipt: unknown, encoded: Hex): Proof {
  return proveReceiptsRoot(createRlpWriter(), [receipt], rootOfOne(encoded));
}

function typed(type: string, fields: Parameters<typeof toRlp>[0]): Hex {
  return `0x${type}${toRlp(fields).slice(2)}`;
}

describe("the receipts' root", () => {
  it("is proved for a legacy receipt, with its type or without", () => {
    const encoded = toRlp(ENCODED as never);
    expect(prove({ ...RECEIPT, type: "0x0" }, encoded)).toEqual({ isProved: true });
    expect(prove(RECEIPT, encoded)).toEqual({ isProved: true });
  });

  it.each(["01", "02", "03", "04", "64", "6a", "7f"])("is proved for a receipt of type 0x%s", (type) => {
    expect(prove({ ...RECEIPT, type: `0x${type}` }, typed(type, ENCODED as never))).toEqual({
      isProved: true,
    });
    expect(prove({ ...RECEIPT, type: `0x${type}` }, toRlp(ENCODED as never))).toMatchObject({
      doubt: "differs",
    });
  });

  it("is proved for a failure as ganache encodes it, and for no success that is", () => {
    const encoded = toRlp(["0x00", ...ENCODED.slice(1)] as never);
    expect(prove({ ...RECEIPT, status: "0x0" }, encoded)).toEqual({ isProved: true });
    expect(prove(RECEIPT, encoded)).toMatchObject({ doubt: "differs" });
  });

  it("is proved for a failed transaction", () => {
    const encoded = toRlp(["0x", "0x5208", EMPTY_BLOOM, []]);
    expect(prove({ ...RECEIPT, status: "0x0", logs: [], logsBloom: EMPTY_BLOOM }, encoded)).toEqual({
      isProved: true,
    });
  });

  it("is proved for a receipt of before Byzantium, which has a state's root", () => {
    const root: Hex = `0x${"5a".repeat(32)}`;
    const encoded = toRlp([root, ...ENCODED.slice(1)] as never);
    expect(prove({ ...RECEIPT, status: undefined, root }, encoded)).toEqual({ isProved: true });
    expect(prove({ ...RECEIPT, status: null, root }, encoded)).toEqual({ isProved: true });
    expect(prove({ ...RECEIPT, status: undefined, root: "0x01" }, encoded)).toMatchObject({
      doubt: "unreadable",
    });
    expect(prove({ ...RECEIPT, status: undefined }, encoded)).toMatchObject({ doubt: "unreadable" });
  });

  it("is proved for the OP stack's deposits: with nonce and version since Canyon, with neither before", () => {
    const deposit = { ...RECEIPT, type: "0x7e", depositNonce: "0x2b9d761" };
    expect(prove(deposit, typed("7e", ENCODED as never))).toEqual({ isProved: true });
    const since = typed("7e", [...ENCODED, "0x02b9d761", "0x01"] as never);
    expect(prove({ ...deposit, depositReceiptVersion: "0x1" }, since)).toEqual({ isProved: true });
    expect(prove(deposit, since)).toMatchObject({ doubt: "differs" });
    // Others may tell such fields and mean nothing by them.
    expect(
      prove({ ...deposit, depositReceiptVersion: "0x1", type: "0x2" }, typed("02", ENCODED as never)),
    ).toEqual({
      isProved: true,
    });
  });

  it("is proved without a bloom, which the logs make", () => {
    expect(prove({ ...RECEIPT, logsBloom: undefined }, toRlp(ENCODED as never))).toEqual({ isProved: true });
    expect(prove({ ...RECEIPT, logsBloom: EMPTY_BLOOM }, toRlp(ENCODED as never))).toMatchObject({
      doubt: "differs",
    });
  });

  it("is that of the empty trie for a block without transactions", () => {
    const empty = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
    expect(proveReceiptsRoot(createRlpWriter(), [], empty)).toEqual({ isProved: true });
    expect(proveReceiptsRoot(createRlpWriter(), [RECEIPT], empty)).toMatchObject({ doubt: "differs" });
  });

  it.each([
    ["a status that is neither", { ...RECEIPT, status: "0x2" }],
    ["a status that is true", { ...RECEIPT, status: true }],
    ["no gas", { ...RECEIPT, cumulativeGasUsed: undefined }],
    ["no logs", { ...RECEIPT, logs: undefined }],
    ["a log that is null", { ...RECEIPT, logs: [null] }],
    ["a log without topics", { ...RECEIPT, logs: [{ ...LOG, topics: undefined }] }],
    ["a topic that is short", { ...RECEIPT, logs: [{ ...LOG, topics: ["0x12"] }] }],
    ["an address that is long", { ...RECEIPT, logs: [{ ...LOG, address: TOPICS[0] }] }],
    ["half a byte of data", { ...RECEIPT, logs: [{ ...LOG, data: "0x123" }] }],
    ["a bloom that is short", { ...RECEIPT, logsBloom: "0x00" }],
    ["a type that cannot be", { ...RECEIPT, type: "0xff" }],
    ["no fields", null],
  ])("is unreadable with %s", (_, receipt) => {
    expect(prove(receipt, toRlp(ENCODED as never))).toMatchObject({ isProved: false, doubt: "unreadable" });
  });
});

describe("the bloom", () => {
  const other = { address: `0x${"cd".repeat(20)}`, topics: [`0x${"ee".repeat(32)}`], data: "0x" };
  const receipts = [
    RECEIPT,
    { logs: [], logsBloom: EMPTY_BLOOM },
    { logs: [other] }, // some nodes tell no bloom with a receipt
  ];
  const blockBloom = `0x${bloomOf([LOG, other]).toString("hex")}`;

  it("has three bits of 2,048 for an address", () => {
    // keccak-256 of 20 bytes of 0xab, three pairs of its bytes modulo 2,048, counted from the last byte.
    const hash = keccak256(TOKEN);
    const bits = [2, 6, 10].map((at) => Number(`0x${hash.slice(at, at + 4)}`) % 2_048);
    const bloom = BigInt(`0x${bloomOf([{ ...LOG, topics: [] }]).toString("hex")}`);
    expect(bloom).toBe([...new Set(bits)].reduce((sum, bit) => sum + 2n ** BigInt(bit), 0n));
  });

  it("is proved from all logs, for each receipt that tells one and for the block", () => {
    expect(proveBlooms(receipts, blockBloom)).toEqual({ isProved: true });
    expect(proveBlooms(receipts, blockBloom.toUpperCase().replace("0X", "0x"))).toEqual({ isProved: true });
    expect(proveBlooms([], EMPTY_BLOOM)).toEqual({ isProved: true });
  });

  it("C2: differs when a log is left out, though the receipt tells none", () => {
    expect(proveBlooms([RECEIPT, { logs: [] }], blockBloom)).toMatchObject({ doubt: "differs" });
  });

  it("C1: differs when all logs are left out", () => {
    expect(proveBlooms([{ logs: [] }, { logs: [] }], blockBloom)).toMatchObject({ doubt: "differs" });
    expect(proveBlooms([{ logs: [], logsBloom: BLOOM }], BLOOM)).toMatchObject({ doubt: "differs" });
  });

  it("C12: differs when a log is invented, changed or moved to another receipt", () => {
    expect(proveBlooms([...receipts, { logs: [{ ...other, topics: [TOPICS[0]] }] }], BLOOM)).toMatchObject({
      doubt: "differs",
    });
    expect(proveBlooms([{ ...RECEIPT, logs: [{ ...LOG, address: other.address }] }], BLOOM)).toMatchObject({
      doubt: "differs",
    });
    expect(proveBlooms([{ ...RECEIPT, logs: [] }, { logs: [LOG] }], BLOOM)).toMatchObject({
      doubt: "differs",
    });
  });
});
