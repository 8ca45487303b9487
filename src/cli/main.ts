#!/usr/bin/env node
/** The process entry. */
import { keepStringsFast } from "../runtime/fast-strings.ts";
import { runProgram } from "./program.ts";
import { createProgress } from "./progress.ts";

keepStringsFast();
const exitCode = await runProgram(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  progress: createProgress((text) => process.stderr.write(text), process.stderr.isTTY === true),
});

// Ends the process even if something still holds it open, but not before a pipe has taken all that was written.
process.stdout.write("", () => process.stderr.write("", () => process.exit(exitCode)));
