import { describe, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import type { CallFrame } from "../rpc/fetched-block.ts";
import { addressOf, hashOf } from "../testing/factory.ts";
import { innerTransfers } from "./inner-transfers.ts";

const a = addressOf("a");
const b = addressOf("b");

const frame = (given: Partial<CallFrame> = {}): CallFrame => ({
  type: "CALL",
  from: a,
  to: b,
  value: "0x0",
  ...given,
});
const paying = (value: number, given: Partial<CallFrame> = {}) =>
  frame({ value: `0x${value.toString(16)}`, ...given });
const found = (outermost: CallFrame) =>
  innerTransfers({ hash: hashOf("tx"), from: outermost.from }, outermost).map(
    ({ source, amountBaseUnits }) => `${source} ${amountBaseUnits}`,
  );

describe("inner transfers", () => {
  it("leaves the outermost call to the transaction's own value", () => {
    expect(found(paying(9))).toEqual([]);
  });

  it("counts a path at each level, of those calls only in which value moves", () => {
    const calls = [
      frame(),
      paying(1, { calls: [paying(2), frame(), paying(3)] }),
      frame({ type: "STATICCALL", value: null }),
      frame({ calls: [frame(), frame({ calls: [paying(4)] })] }),
      paying(5),
    ];
    expect(found(frame({ calls }))).toEqual([
      "trace:0 1",
      "trace:0.0 2",
      "trace:0.1 3",
      "trace:1.0.0 4",
      "trace:2 5",
    ]);
  });

  it("gives the same paths whether or not a tracer shows precompiled contracts and calls that failed", () => {
    const precompiled: Address = `0x${"0".repeat(39)}1`;
    const shown = [
      frame({ to: precompiled }),
      paying(7, { to: precompiled }),
      paying(8, { error: "out of gas" }),
      paying(1),
    ];
    expect(found(frame({ calls: shown }))).toEqual(found(frame({ calls: [paying(1)] })));
  });

  it("takes nothing of a call that failed, nor of what it called", () => {
    expect(found(frame({ calls: [paying(1, { error: "execution reverted", calls: [paying(2)] })] }))).toEqual(
      [],
    );
    expect(found(frame({ error: "out of gas", calls: [paying(2)] }))).toEqual([]);
  });

  it.each(["CALL", "CREATE", "CREATE2", "SELFDESTRUCT"])("takes what %s moves", (type) => {
    expect(found(frame({ calls: [paying(1, { type })] }))).toEqual(["trace:0 1"]);
  });

  it.each(["DELEGATECALL", "CALLCODE", "STATICCALL"])(
    "A6: takes nothing of %s, but what it calls",
    (type) => {
      expect(found(frame({ calls: [paying(1, { type, calls: [paying(2)] })] }))).toEqual(["trace:0.0 2"]);
    },
  );
});
