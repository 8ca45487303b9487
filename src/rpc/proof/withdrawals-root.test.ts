import { type Hex, keccak256, toRlp } from "viem";
import { describe, expect, it } from "vitest";
import { createRlpWriter } from "./rlp.ts";
import { proveWithdrawalsRoot } from "./withdrawals-root.ts";

const ADDRESS: Hex = `0x${"ab".repeat(20)}`;
const WITHDRAWAL = { index: "0x4a9e66b", validatorIndex: "0x85dd2", address: ADDRESS, amount: "0x121a6a9" };
const ROOT = keccak256(toRlp(["0x2080", toRlp(["0x04a9e66b", "0x085dd2", ADDRESS, "0x0121a6a9"])]));
const EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

const prove = (withdrawals: unknown, root: unknown) =>
  proveWithdrawalsRoot(createRlpWriter(), withdrawals, root);

describe("the withdrawals' root", () => {
  it("is proved with withdrawals, with none, and on a chain that has none", () => {
    expect(prove([WITHDRAWAL], ROOT)).toEqual({ isProved: true });
    expect(prove([], EMPTY_ROOT)).toEqual({ isProved: true });
    expect(prove(undefined, undefined)).toEqual({ isProved: true });
    expect(prove([], null)).toEqual({ isProved: true });
  });

  it("C12: is not proved when any field is another", () => {
    for (const name of Object.keys(WITHDRAWAL)) {
      const other = name === "address" ? `0x${"cd".repeat(20)}` : "0x1";
      expect(prove([{ ...WITHDRAWAL, [name]: other }], ROOT), name).toMatchObject({ doubt: "differs" });
    }
  });

  it("C12: is not proved with withdrawals where the header has no root for them", () => {
    expect(prove([WITHDRAWAL], undefined)).toMatchObject({ doubt: "differs" });
  });

  it("D5: is not proved when they are left out", () => {
    expect(prove([], ROOT)).toMatchObject({ doubt: "differs" });
    expect(prove(null, ROOT)).toMatchObject({ doubt: "differs" });
  });

  it.each(["0x", {}, [null], [{}], [{ ...WITHDRAWAL, amount: 5 }], [{ ...WITHDRAWAL, address: "0x" }]])(
    "is unreadable from %j",
    (withdrawals) => {
      expect(prove(withdrawals, ROOT)).toMatchObject({ doubt: "unreadable" });
    },
  );
});
