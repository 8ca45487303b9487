import { expect, it } from "vitest";
import { keccak256, loadFastKeccak } from "./keccak.ts";

const inputs = [
  Buffer.alloc(0),
  Buffer.from("depositd"),
  Buffer.alloc(135, 1),
  Buffer.alloc(136, 2),
  Buffer.alloc(10_000, 3),
];

it("hashes the same before and after the fast one is loaded", async () => {
  const plain = inputs.map((input) => Buffer.from(keccak256(input)).toString("hex"));
  await loadFastKeccak();
  const fast = inputs.map((input) => Buffer.from(keccak256(input)).toString("hex"));
  expect(fast).toEqual(plain);
  expect(fast[0]).toBe("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
});
