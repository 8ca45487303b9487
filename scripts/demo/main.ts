/**
 * `npm run demo`: the main job as a story, on a real chain, with the real daemon.
 *
 *   npm run demo              the story; exit 0 when chain, ledger and merchant agree at its end, else 1
 *   npm run demo -- --kill    with a scene in which the daemon is killed twice
 *   npm run demo -- --stay    everything stays up afterwards, until Ctrl-C
 */
import { parseArgs } from "node:util";
import { doAgree, readBooks, showBooks, showDeposits } from "./books.ts";
import { Interrupted, untilInterrupted } from "./interruption.ts";
import { createNarrator, type Narrator } from "./narrator.ts";
import { ProgramFailed } from "./program.ts";
import { EPILOGUE, KILL_SCENES, STORY } from "./scenes.ts";
import { makeFolder, type Stage, setStage } from "./stage.ts";
import { callStagehand } from "./stagehand.ts";
import { invite } from "./stay.ts";

interface Options {
  readonly kill: boolean;
  readonly stay: boolean;
}

const { values } = parseArgs({
  options: { kill: { type: "boolean", default: false }, stay: { type: "boolean", default: false } },
});
process.exit(await main(values));

async function main(options: Options): Promise<number> {
  const narrator = createNarrator(process.stdout);
  const interrupted = untilInterrupted();
  const { folder, dataDir } = await makeFolder();
  const stagehand = callStagehand(folder, dataDir);
  let exitCode: number | undefined;
  try {
    narrator.title("depositd: the main job, on a real chain");
    const stage = await Promise.race([interrupted, setStage({ folder, stagehand, narrator }, dataDir)]);
    const outside = [interrupted, stage.daemon.broken, stage.merchant.broken];
    exitCode = (await Promise.race([...outside, play(stage, options)])) ? 0 : 1;
    if (options.stay) {
      await invite(stage);
      await Promise.race(outside);
    }
  } catch (rawError) {
    if (rawError instanceof Interrupted) {
      exitCode ??= rawError.exitCode;
      narrator.text("\nClearing the stage.");
    } else {
      exitCode = 1;
      tell(narrator, rawError);
    }
  } finally {
    await stagehand.clear();
  }
  return exitCode;
}

/** Plays every scene, and opens the books whatever came of them. Answers whether all is well. */
async function play(stage: Stage, options: Options): Promise<boolean> {
  const { narrator, anvil, cast, api, merchant } = stage;
  let isToldToTheEnd = true;
  try {
    for (const scene of [...STORY, ...(options.kill ? KILL_SCENES : []), EPILOGUE]) await scene(stage);
  } catch (rawError) {
    isToldToTheEnd = false;
    tell(narrator, rawError);
  }
  const books = await readBooks(anvil.url, cast, api, merchant);
  showDeposits(narrator, books.deposits);
  showBooks(narrator, books.lines);
  const differing = books.lines.filter((line) => !doAgree(line));
  const where = differing.map(({ user, asset }) => `${user}'s ${asset.currency}`).join(", ");
  narrator.text();
  narrator.text(
    where === ""
      ? narrator.style("green", "They agree.")
      : narrator.style("red", `They do not agree on ${where}.`),
  );
  const { booked, known } = merchant.counts();
  narrator.text(
    `${books.deposits.length} deposits, ${booked + known} callbacks with a right signature, ${known} of which came a second time.`,
  );
  return where === "" && isToldToTheEnd;
}

function tell(narrator: Narrator, rawError: unknown): void {
  const error = rawError instanceof Error ? rawError : new Error(String(rawError));
  narrator.text(`\n${narrator.style("red", error.message)}`);
  if (error.cause instanceof Error) narrator.text(`  because: ${error.cause.message}`);
  if (error instanceof ProgramFailed) for (const line of error.lastLines) narrator.text(`  ${line}`);
}
