import { type Hex, keccak256, toRlp } from "viem";
import { describe, expect, it } from "vitest";
import { proveHeaderHash } from "./header-hash.ts";
import { createRlpWriter } from "./rlp.ts";

const HASH: Hex = `0x${"11".repeat(32)}`;
const BASE: Readonly<Record<string, Hex>> = {
  parentHash: HASH,
  sha3Uncles: HASH,
  miner: `0x${"22".repeat(20)}`,
  stateRoot: HASH,
  transactionsRoot: HASH,
  receiptsRoot: HASH,
  logsBloom: `0x${"00".repeat(256)}`,
  difficulty: "0x",
  number: "0x0123",
  gasLimit: "0x01c9c380",
  gasUsed: "0x5208",
  timestamp: "0x67be0db3",
  extraData: "0x7566",
  mixHash: HASH,
  nonce: "0x0000000000000000",
};
const QUANTITIES = ["difficulty", "number", "gasLimit", "gasUsed", "timestamp"];

/** Field by field as RLP has them, and its hash by viem; then as a node tells them. */
function header(later: readonly (readonly [name: string, rlp: Hex, told: string | null | undefined])[] = []) {
  const told = Object.entries(BASE).map(([name, rlp]) => [
    name,
    QUANTITIES.includes(name) ? toldAs(rlp) : rlp,
  ]);
  return {
    ...Object.fromEntries(told),
    ...Object.fromEntries(later.map(([name, , value]) => [name, value])),
    hash: keccak256(toRlp([...Object.values(BASE), ...later.map(([, rlp]) => rlp)])),
    size: "0x220",
    uncles: [],
  };
}

function toldAs(rlp: Hex): string {
  return rlp === "0x" ? "0x0" : `0x${BigInt(rlp).toString(16)}`;
}

const prove = (fields: Record<string, unknown>) => proveHeaderHash(createRlpWriter(), fields);

const AMSTERDAM = [
  ["baseFeePerGas", "0x07", "0x7"],
  ["withdrawalsRoot", HASH, HASH],
  ["blobGasUsed", "0x", "0x0"],
  ["excessBlobGas", "0x020000", "0x20000"],
  ["parentBeaconBlockRoot", HASH, HASH],
  ["requestsHash", HASH, HASH],
  ["blockAccessListHash", HASH, HASH],
  ["slotNumber", "0xabcdef", "0xabcdef"],
] as const;

describe("the hash of a header", () => {
  it.each([0, 1, 2, 5, 6, 8])("is proved with %i fields of later forks", (count) => {
    expect(prove(header(AMSTERDAM.slice(0, count)))).toEqual({ isProved: true });
  });

  it("is proved where a field of an earlier fork was never taken", () => {
    const [baseFee, , ...rest] = AMSTERDAM;
    expect(prove(header([baseFee, ["withdrawalsRoot", "0x", undefined], ...rest]))).toEqual({
      isProved: true,
    });
  });

  it("is proved where fields of later forks are told as null", () => {
    const told = { ...header(AMSTERDAM.slice(0, 2)), blobGasUsed: null, requestsHash: null };
    expect(prove(told)).toEqual({ isProved: true });
  });

  it("is proved beside fields that are not known, where the hash comes out without them", () => {
    const told = { ...header(AMSTERDAM), l1BlockNumber: "0x1", totalDifficulty: "0xc70d815d562d3cfa955" };
    expect(prove(told)).toEqual({ isProved: true });
  });

  it("is not proved, and names the fields that are not known, where it does not come out", () => {
    const told = header([...AMSTERDAM, ["fieldOfALaterFork", HASH, HASH]]);
    const proof = prove(told);
    expect(proof).toMatchObject({ isProved: false, doubt: "differs" });
    expect(proof).toMatchObject({ reason: expect.stringContaining("fieldOfALaterFork") });
  });

  it("is unreadable without a field that every header has", () => {
    for (const name of Object.keys(BASE)) {
      expect(prove({ ...header(), [name]: undefined }), name).toMatchObject({
        doubt: "unreadable",
        reason: `${name} is missing`,
      });
    }
    expect(prove({ ...header(), hash: undefined })).toMatchObject({ doubt: "unreadable" });
    expect(prove({})).toMatchObject({ doubt: "unreadable" });
  });

  it("says no more than it has to of what a node told", () => {
    const proof = prove({ ...header(), ["x".repeat(5_000)]: "1", hash: `0x${"5".repeat(5_000)}` });
    expect(proof.isProved ? "" : proof.reason.length).toBeLessThan(600);
  });
});
