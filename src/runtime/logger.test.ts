/** What is logged of an error. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const LOGGER = fileURLToPath(new URL("./logger.ts", import.meta.url));

/** Logs go to standard error, so a process of its own shows what is written there. */
function logged(expression: string): Record<string, unknown> {
  const program = `import { createLogger } from ${JSON.stringify(LOGGER)};
    createLogger("info").warn("Failed", { error: ${expression} });`;
  const { stderr } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    encoding: "utf8",
  });
  return JSON.parse(stderr) as Record<string, unknown>;
}

describe("an error in a log line", () => {
  it("shows its name, message, code, facts and cause, and nothing that a library hung on it", () => {
    const line = logged(`Object.assign(
      new TypeError("it broke", { cause: Object.assign(new Error("reset"), { client: { password: "hunter2" } }) }),
      { code: "ECONNRESET", facts: { number: 7n }, client: { connectionParameters: { password: "hunter2" } } })`);
    expect(line["error"]).toMatchObject({
      type: "TypeError",
      message: "it broke",
      code: "ECONNRESET",
      facts: { number: "7" },
      cause: { message: "reset" },
    });
    expect(JSON.stringify(line)).not.toContain("hunter2");
    expect(JSON.stringify(line)).not.toContain("client");
  });
});
