/** The short form of `lying-run.long.test.ts`: the same in less time, with a seed that is always the same. */
import { expect, it } from "vitest";
import { runAmongLies } from "./lying-run.ts";

const SEED = 20_261_124;

it(`C1–C13: ends with a ledger that equals the chain when two nodes lie in every way (seed ${SEED})`, {
  timeout: 600_000,
}, async () => {
  const { deposits } = await runAmongLies({ seed: SEED, seconds: 30 });
  expect(deposits).toBeGreaterThan(50);
});
