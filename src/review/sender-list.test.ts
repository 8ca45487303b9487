import { expect, it } from "vitest";
import { coerceError } from "../core/errors.ts";
import { checksumAddress } from "../core/hex.ts";
import { addressOf } from "../testing/factory.ts";
import { parseSenderList } from "./sender-list.ts";

const [mallory, trudy, eve] = [addressOf("mallory"), addressOf("trudy"), addressOf("eve")];

const faultOf = (text: string): string => {
  try {
    parseSenderList(text, "list.csv");
  } catch (rawError) {
    return coerceError(rawError).message;
  }
  throw new Error("The list was taken");
};

it.each([
  ["one address a line, in any form", `${mallory}\n${checksumAddress(trudy)}\n${eve.toUpperCase()}\n`],
  ["with comments and empty lines", `# sanctioned\n\n${mallory} # a mixer\n  # more\n${trudy}\n${eve}`],
  ["CSV with the address first", `${mallory},"Mallory, of old",2020\n${trudy},,\n${eve}`],
  [
    "CSV with the address under a header",
    `name,"Address",since\n"Mallory ""the"" first, and last",${mallory},2020\nTrudy, ${trudy} ,2021\n,"${eve}"`,
  ],
  ["from Windows, with a byte order mark", `\uFEFFaddress\r\n${mallory}\r\n${trudy}\r\n${eve}\r\n`],
  ["an address that stands there twice", `${mallory}\n${trudy}\n${eve}\n${mallory}`],
])("reads a list: %s", (_what, text) => {
  expect([...parseSenderList(text, "list.csv")]).toEqual([mallory, trudy, eve]);
});

it("takes a list as a whole or not at all, and tells each bad line by its number", () => {
  const wrongChecksum = checksumAddress(trudy).replace(/[a-f]/, (letter) => letter.toUpperCase());
  expect(faultOf(`# list\n${mallory}\n0x12\n${wrongChecksum}\n`)).toBe(
    "The sender list list.csv cannot be taken: line 3: it must be 0x and 40 hexadecimal digits; " +
      "line 4: it has a wrong EIP-55 checksum",
  );
  expect(faultOf(Array.from({ length: 8 }, () => "nonsense").join("\n"))).toMatch(/line 5: .*; and 3 more$/);
  expect(faultOf(`name,address\nMallory`)).toContain("line 2: it must be 0x");
});

it("refuses a list without an address: that is what a file looks like that is just being written", () => {
  for (const text of ["", "\n", "# nobody\n", "address,name\n"]) {
    expect(faultOf(text)).toBe("The sender list list.csv cannot be taken: there is no address in it");
  }
});
