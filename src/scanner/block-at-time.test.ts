import { describe, expect, it } from "vitest";
import { firstBlockAt } from "./block-at-time.ts";

/** A chain by its blocks' times. */
const chainOf = (times: readonly number[]) => {
  const asked: bigint[] = [];
  const timestampOf = async (number: bigint) => {
    asked.push(number);
    const time = times[Number(number)];
    if (time === undefined) throw new RangeError(`Block ${number} is not there`);
    return time;
  };
  return { asked, find: (seconds: number) => firstBlockAt(seconds, BigInt(times.length) - 1n, timestampOf) };
};

describe("the first block at a time", () => {
  it("is the one at it or the first after it, for every time there is", async () => {
    const times = [0, 100, 112, 112, 112, 130, 131, 131, 200];
    for (let seconds = 0; seconds <= 201; seconds++) {
      const expected = times.findIndex((time) => time >= seconds);
      expect(await chainOf(times).find(seconds)).toBe(BigInt(expected === -1 ? times.length : expected));
    }
  });

  it("is block 0 for a time before the chain, and the one after the last for a time after it", async () => {
    expect(await chainOf([50]).find(1)).toBe(0n);
    expect(await chainOf([50]).find(51)).toBe(1n);
    expect(await chainOf([50, 60, 70]).find(71)).toBe(3n);
  });

  it("asks some 25 times where there are twenty million blocks", async () => {
    let asked = 0;
    const timestampOf = async (number: bigint) => {
      asked += 1;
      return 1_438_269_973 + Number(number) * 12;
    };
    expect(await firstBlockAt(1_438_269_973 + 12 * 7_654_321 - 5, 20_000_000n, timestampOf)).toBe(7_654_321n);
    expect(asked).toBeLessThanOrEqual(25);
  });

  it("believes no block whose time lies outside of its neighbours'", async () => {
    await expect(chainOf([100, 110, 500, 130, 140, 150, 160]).find(115)).rejects.toMatchObject({
      code: "node_answer_invalid",
      retryable: true,
    });
  });
});
