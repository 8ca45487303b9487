import { getAddress } from "viem";
import { describe, expect, it } from "vitest";
import { addressOf } from "../testing/factory.ts";
import { checksumAddress, parseAddress, parseHash } from "./hex.ts";

describe("addresses", () => {
  it("are checksummed as EIP-55 says", () => {
    for (let n = 0; n < 500; n++)
      expect(checksumAddress(addressOf(`${n}`))).toBe(getAddress(addressOf(`${n}`)));
  });

  it("D14: are one address in upper-case, lower-case and checksummed form", () => {
    const lower = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045";
    const forms = [lower, lower.toUpperCase(), `0x${lower.slice(2).toUpperCase()}`, checksumAddress(lower)];
    expect(forms.map((form) => parseAddress(form))).toEqual(forms.map(() => lower));
  });

  it("D14: are refused with a wrong checksum", () => {
    expect(() => parseAddress("0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96044")).toThrow(/checksum/);
  });

  it.each([
    "",
    "0x",
    "d8da6bf26964af9d7eed9e03e53415d37aa96045",
    "0xd8da6bf26964af9d7eed9e03e53415d37aa9604",
    "0xzz",
  ])("are refused when they are none: %j", (text) =>
    expect(() => parseAddress(text)).toThrow(/40 hexadecimal digits/),
  );
});

it("reads a hash in either case", () => {
  expect(parseHash(`0x${"AB".repeat(32)}`)).toBe(`0x${"ab".repeat(32)}`);
  expect(() => parseHash("0xab")).toThrow(/64 hexadecimal digits/);
});
