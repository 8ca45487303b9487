import { describe, expect, it } from "vitest";
import { assertMove, canMove, DEPOSIT_STATUSES, statusAfterReorg } from "./deposit.ts";
import { depositId } from "./deposit-id.ts";

describe("a deposit's status", () => {
  it("leaves the chain as orphaned before credit and as reversed after", () => {
    const after = DEPOSIT_STATUSES.map((status) => [status, statusAfterReorg(status)]);
    expect(Object.fromEntries(after)).toEqual({
      pending: "orphaned",
      credited: "reversed",
      unlocked: "reversed",
      held: "orphaned",
      rejected: "orphaned",
      ignored: "orphaned",
      orphaned: null,
      reversed: null,
    });
  });

  it("is never credited from where it is not in a canonical block", () => {
    expect(DEPOSIT_STATUSES.filter((status) => canMove(status, "credited"))).toEqual(["pending", "held"]);
  });

  it("refuses a move that there is not, naming both ends", () => {
    expect(() => assertMove({ id: "dep_1", status: "orphaned" }, "credited")).toThrow(
      /from orphaned to credited/,
    );
  });
});

describe("a deposit's id", () => {
  const tx = `0x${"ab".repeat(32)}` as const;

  it("is the same for the same place in the same transaction on the same chain", () => {
    expect(depositId(1, tx, "log:0")).toBe(depositId(1, tx, "log:0"));
    expect(depositId(1, tx, "log:0")).toMatch(/^dep_[0-9a-hjkmnp-tv-z]{32}$/);
  });

  it("differs by chain, transaction and source", () => {
    const ids = [
      depositId(1, tx, "log:0"),
      depositId(2, tx, "log:0"),
      depositId(1, tx, "log:1"),
      depositId(1, tx, "value"),
    ];
    expect(new Set([...ids, depositId(1, null, "withdrawal:7")]).size).toBe(5);
  });
});
