/** A process with a child that must not outlive it: prints the child's number and waits to be killed. */
import { spawn } from "node:child_process";
import { endWithThisProcess } from "./end-with-this-process.ts";

const EVERLASTING = "setInterval(() => undefined, 60_000)";
const child = spawn(process.execPath, ["-e", EVERLASTING], { stdio: "ignore" });
endWithThisProcess(child);
const gone = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
endWithThisProcess(gone);
gone.once("exit", () => process.stdout.write(`${child.pid}\n`));
