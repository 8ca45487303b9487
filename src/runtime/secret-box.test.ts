import { describe, expect, it } from "vitest";
import { DepositdError } from "../core/errors.ts";
import { systemRandom } from "./random.ts";
import { createSecretBox } from "./secret-box.ts";

const key = systemRandom.bytes(32);
const box = createSecretBox(key, systemRandom);
const plain = Buffer.from("whsec_bytes_of_some_merchant");

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    return error instanceof DepositdError ? error.code : String(error);
  }
  return undefined;
}

describe("secret box", () => {
  it("opens what it sealed, also in another process with the same key", () => {
    expect(createSecretBox(Buffer.from(key), systemRandom).open(box.seal(plain))).toEqual(plain);
    expect(box.open(box.seal(Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
  });

  it("seals the same secret differently each time, and never in the clear", () => {
    const sealed = box.seal(plain);
    expect(sealed).not.toEqual(box.seal(plain));
    expect(sealed.includes(plain)).toBe(false);
    expect(sealed.includes(key.subarray(0, 8))).toBe(false);
  });

  it("says secret_key_wrong under another key", () => {
    const other = createSecretBox(systemRandom.bytes(32), systemRandom);
    expect(codeOf(() => other.open(box.seal(plain)))).toBe("secret_key_wrong");
  });

  it("refuses a sealed secret with any one bit changed, or cut short", () => {
    const sealed = box.seal(plain);
    for (let position = 0; position < sealed.length; position++) {
      const damaged = Buffer.from(sealed);
      damaged.writeUInt8(damaged.readUInt8(position) ^ 1, position);
      expect(codeOf(() => box.open(damaged))).toBe("secret_key_wrong");
    }
    expect(codeOf(() => box.open(sealed.subarray(0, 20)))).toBe("secret_key_wrong");
    expect(codeOf(() => box.open(Buffer.alloc(0)))).toBe("secret_key_wrong");
  });

  it("refuses a key that is not 32 bytes long", () => {
    expect(codeOf(() => createSecretBox(Buffer.alloc(16), systemRandom))).toBe("secret_key_wrong");
  });

  it("opens what was sealed under an older key, and seals under the present one", () => {
    const newer = systemRandom.bytes(32);
    const rotated = createSecretBox(newer, systemRandom, [key]);
    const sealed = box.seal(plain);
    expect(rotated.open(sealed)).toEqual(plain);
    expect([rotated.isCurrent(sealed), rotated.isCurrent(rotated.seal(plain))]).toEqual([false, true]);
    expect(createSecretBox(newer, systemRandom).open(rotated.seal(plain))).toEqual(plain);
    expect(codeOf(() => createSecretBox(newer, systemRandom).open(sealed))).toBe("secret_key_wrong");
  });
});
