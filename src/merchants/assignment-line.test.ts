import { describe, expect, it } from "vitest";
import { checksumAddress } from "../core/hex.ts";
import { addressOf } from "../testing/factory.ts";
import { readAssignment } from "./assignment-line.ts";

const address = addressOf("line");

describe("a line of an import", () => {
  it.each([
    ["CSV", `${address},alice`, "alice"],
    ["CSV with spaces and a line break of Windows", ` ${address} , alice \r`, "alice"],
    ["CSV in quotes, with a comma and a quote", `"${address}","a ""b"", c"`, 'a "b", c'],
    ["CSV with a comma and no quotes", `${address},Smith, John`, "Smith, John"],
    ["a checksummed address", `${checksumAddress(address)},alice`, "alice"],
    ["NDJSON", JSON.stringify({ address, userId: "名前" }), "名前"],
  ])("is read as %s", (_what, line, userId) => {
    expect(readAssignment(line)).toEqual({ address, userId });
  });

  it.each(["", "  ", "address,userId", '"address","user_id"', "Address,UserId\r"])(
    "is nothing when it is %j",
    (line) => {
      expect(readAssignment(line)).toBeNull();
    },
  );

  it.each([
    ["no comma", address, "invalid_request"],
    ["no user", `${address},`, "invalid_request"],
    ["half an address", "0x1234,alice", "invalid_address"],
    ["broken JSON", '{ "address": ', "invalid_request"],
    ["a number for a user", JSON.stringify({ address, userId: 5 }), "invalid_request"],
    ["something more", JSON.stringify({ address, userId: "a", memo: "x" }), "invalid_request"],
    ["a control character", JSON.stringify({ address, userId: "a\u0000" }), "invalid_request"],
  ])("is refused with %s", (_what, line, code) => {
    expect(() => readAssignment(line)).toThrow(expect.objectContaining({ code }));
  });
});
