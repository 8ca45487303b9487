import { describe, expect, it } from "vitest";
import { DepositdError } from "../core/errors.ts";
import { assertCallbackUrl } from "./callback-url.ts";

const REFUSED = [
  "",
  "example.com/hook",
  "ftp://example.com/",
  "http://example.com/",
  "javascript:alert(1)",
  "file:///etc/passwd",
  "https://user@example.com/",
  "https://user:secret@example.com/",
  "https://:secret@example.com/",
  "https://example.com/#part",
  `https://example.com/${"a".repeat(2_000)}`,
  "https://127.0.0.1/",
  "https://127.1/",
  "https://0x7f.1/",
  "https://2130706433/",
  "https://0177.0.0.1/",
  "https://①②⑦.⓪.⓪.①/",
  "https://127.0.0.1./",
  "https://10.0.0.1/",
  "https://169.254.169.254/latest/meta-data/",
  "https://[::1]/",
  "https://[::]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::127.0.0.1]/",
  "https://[fd00:ec2::254]/",
  "https://[64:ff9b::7f00:1]/",
  "https://[2002:7f00:1::]/",
  "https://[fe80::1%25eth0]/",
];

function codeOf(work: () => unknown): string {
  try {
    work();
    return "taken";
  } catch (error) {
    return error instanceof DepositdError ? error.code : String(error);
  }
}

describe("assertCallbackUrl", () => {
  it.each(REFUSED)("G7: refuses %s", (text) => {
    expect(codeOf(() => assertCallbackUrl(text, { allowPrivateTargets: false }))).toBe("invalid_url");
  });

  it.each([
    "https://example.com/hook?token=x",
    "https://example.com:8443/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/hook",
  ])("takes %s", (text) => {
    expect(assertCallbackUrl(text, { allowPrivateTargets: false }).href).toBe(text);
  });

  it("takes http and private addresses where private targets are allowed, and still no user info", () => {
    const options = { allowPrivateTargets: true };
    expect(codeOf(() => assertCallbackUrl("http://127.0.0.1:8080/hook", options))).toBe("taken");
    expect(codeOf(() => assertCallbackUrl("https://[::1]/hook", options))).toBe("taken");
    expect(codeOf(() => assertCallbackUrl("http://user@127.0.0.1/", options))).toBe("invalid_url");
    expect(codeOf(() => assertCallbackUrl("ftp://127.0.0.1/", options))).toBe("invalid_url");
  });

  it("does not repeat the URL in its error, as a token may be in it", () => {
    try {
      assertCallbackUrl("http://example.com/?token=s3cret", { allowPrivateTargets: false });
      expect.unreachable();
    } catch (error) {
      expect(JSON.stringify(error) + String(error)).not.toContain("s3cret");
    }
  });
});
