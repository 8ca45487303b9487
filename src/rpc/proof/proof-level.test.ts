import { type Hex, keccak256, toRlp } from "viem";
import { describe, expect, it } from "vitest";
import { proveBlock } from "./proof-level.ts";
import { proveSender } from "./prove-sender.ts";
import { createRlpWriter } from "./rlp.ts";

const HASH: Hex = `0x${"11".repeat(32)}`;
const EMPTY_TRIE = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
const EMPTY_BLOOM: Hex = `0x${"00".repeat(256)}`;

function rootOfOne(encoded: Hex): Hex {
  return keccak256(toRlp(["0x2080", encoded]));
}

/** A block with one receipt of this type, and a withdrawalsRoot that no withdrawals make. */
function blockOfOne(type: string) {
  const receipt = { type, status: "0x1", cumulativeGasUsed: "0x5208", logsBloom: EMPTY_BLOOM, logs: [] };
  const encoded: Hex = `${type as Hex}${toRlp(["0x01", "0x5208", EMPTY_BLOOM, []]).slice(2)}`;
  const fields = {
    parentHash: HASH,
    sha3Uncles: HASH,
    miner: `0x${"22".repeat(20)}`,
    stateRoot: HASH,
    transactionsRoot: EMPTY_TRIE,
    receiptsRoot: rootOfOne(encoded),
    logsBloom: EMPTY_BLOOM,
    difficulty: "0x",
    number: "0x10",
    gasLimit: "0x10",
    gasUsed: "0x10",
    timestamp: "0x10",
    extraData: "0x",
    mixHash: HASH,
    nonce: "0x0000000000000000",
    baseFeePerGas: "0x10",
    withdrawalsRoot: HASH,
  } as const;
  const header = { ...fields, difficulty: "0x0", hash: keccak256(toRlp(Object.values(fields))) };
  return { header, receipts: [receipt], transactions: null, withdrawals: [] as unknown };
}

describe("the level of a block", () => {
  it("is proved on the OP stack, where withdrawalsRoot is not of validators' withdrawals", () => {
    const block = blockOfOne("0x7e");
    expect(proveBlock(block)).toMatchObject({ level: "proved", unproved: [], sure: { withdrawals: true } });
    const invented = [
      { index: "0x0", validatorIndex: "0x0", address: `0x${"ab".repeat(20)}`, amount: "0x1" },
    ];
    expect(proveBlock({ ...block, withdrawals: invented }).sure.withdrawals).toBe(false);
  });

  it("D5: is not proved elsewhere, where such a root says that withdrawals were left out", () => {
    for (const withdrawals of [[], null, undefined]) {
      const proof = proveBlock({ ...blockOfOne("0x02"), withdrawals });
      expect(proof.parts.withdrawals).toMatchObject({ doubt: "differs" });
      expect(proof).toMatchObject({ level: "bloom", sure: { withdrawals: false } });
    }
  });

  it("D5: is not proved by receipts passed off as the OP stack's", () => {
    const block = blockOfOne("0x02");
    const passedOff = block.receipts.map((receipt) => ({ ...receipt, type: "0x7e" }));
    expect(proveBlock({ ...block, receipts: passedOff }).sure.withdrawals).toBe(false);
  });

  it("is none, with reasons and without a crash, for an answer that is no block", () => {
    const proof = proveBlock({ header: null, transactions: [null], receipts: [7], withdrawals: "0x" });
    expect(proof).toMatchObject({ level: "none", logCount: 0 });
    expect(proof.unproved).toHaveLength(5);
  });

  it("is never a crash, whatever is in the place of a field", () => {
    const call = { nonce: "0x0", gasPrice: "0x1", gas: "0x5208", to: null, value: "0x1", input: "0x" };
    const signature = { v: "0x25", r: HASH, s: HASH };
    const transaction = { ...call, ...signature, type: "0x0", hash: HASH, from: `0x${"ab".repeat(20)}` };
    const receipt = { ...blockOfOne("0x02").receipts[0], type: "0x0", contractAddress: HASH };
    // `String` throws for the first: JSON can make it.
    const junk: unknown[] = [
      { toString: 1, valueOf: 1 },
      undefined,
      null,
      7,
      "",
      "0x",
      "0xzz",
      [],
      {},
      [null],
    ];
    for (const value of junk) {
      for (const type of ["0x0", "0x1", "0x3", "0x4", "0x7e", "0x6a"]) {
        for (const name of [...Object.keys(transaction), "accessList", "authorizationList", "sourceHash"]) {
          const told = { ...transaction, type, accessList: [], [name]: value };
          const block = { ...blockOfOne("0x02"), receipts: [{ ...receipt, type }], transactions: [told] };
          expect(() => proveBlock(block), name).not.toThrow();
          expect(() => proveSender(createRlpWriter(), told), name).not.toThrow();
        }
      }
      for (const name of [...Object.keys(receipt), "depositNonce", "depositReceiptVersion"]) {
        const told = { ...receipt, type: "0x7e", depositReceiptVersion: "0x1", [name]: value };
        const block = { ...blockOfOne("0x7e"), receipts: [told], transactions: [transaction] };
        expect(() => proveBlock(block), name).not.toThrow();
      }
    }
  });
});
