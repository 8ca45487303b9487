/** `npm run test:long`: an hour or a night among lies. The seed is new each time unless one is given. */
import { expect, it } from "vitest";
import { longRun } from "../testing/long-run.ts";
import { runAmongLies } from "./lying-run.ts";

const { seed, seconds } = longRun();

it(`C1–C13: ends with a ledger that equals the chain after ${seconds} s among lies (seed ${seed})`, {
  timeout: (seconds + 900) * 1_000,
}, async () => {
  const outcome = await runAmongLies({ seed, seconds });
  process.stdout.write(`${JSON.stringify({ seed, seconds, ...outcome }, null, 2)}\n`);
  expect(outcome.deposits).toBeGreaterThan(seconds);
});
