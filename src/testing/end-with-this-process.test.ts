/** Nothing may stay behind when a test runner is killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isProcessAlive } from "../db/embedded/cluster.ts";
import { waitFor } from "./wait-for.ts";

const HOLDER = fileURLToPath(new URL("./child-holder.ts", import.meta.url));

test.each(["SIGKILL", "SIGTERM", "SIGINT"] as const)(
  "a child ends with the process that started it, when that is ended by %s",
  async (signal) => {
    const holder = spawn(process.execPath, ["--import", "tsx", HOLDER], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [printed] = (await once(holder.stdout, "data")) as [Buffer];
    const childPid = Number(printed.toString());
    expect(isProcessAlive(childPid)).toBe(true);
    holder.kill(signal);
    await once(holder, "exit");
    await waitFor(() => !isProcessAlive(childPid), { what: "the child to end" });
  },
);
