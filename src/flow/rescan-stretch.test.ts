import { describe, expect, it } from "vitest";
import { addressOf } from "../testing/factory.ts";
import { chooseStretch } from "./rescan-stretch.ts";

describe("the next stretch", () => {
  const at = (name: string, next: bigint, to: bigint, waitingSince: number) => ({
    address: addressOf(name),
    next,
    to,
    progressedAt: new Date(waitingSince),
  });

  it("begins with the one that waits longest, and takes along whose next block lies in it", () => {
    const long = at("long", 0n, 9_000n, 2);
    const short = at("short", 8_000n, 8_100n, 1);
    const near = at("near", 8_050n, 8_200n, 3);
    expect(chooseStretch([long, short, near], 9_000n)).toEqual({
      from: 8_000n,
      to: 8_200n,
      only: new Map([
        [short.address, { from: 8_000n, to: 8_100n }],
        [near.address, { from: 8_050n, to: 8_200n }],
      ]),
    });
    expect(chooseStretch([long], 9_000n)).toMatchObject({ from: 0n, to: 999n });
  });

  it("never goes beyond the cursor, and is none when nothing lies below it", () => {
    expect(chooseStretch([at("a", 5n, 20n, 1)], 7n)).toMatchObject({ from: 5n, to: 7n });
    expect(chooseStretch([at("a", 8n, 20n, 1)], 7n)).toBeNull();
  });
});
