/** The whole daemon, killed again and again at random moments while deposits arrive and blocks are mined. */
import { afterAll, beforeAll, it } from "vitest";
import { killAgainAndAgain } from "./kill-rounds.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";

describeOnEachQueue("a daemon that is killed", (backend) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  it("H2: credits once and tells all across 150 kills at random moments", {
    timeout: 7_200_000,
  }, async () => {
    await killAgainAndAgain(rig, 150, 20_261_124);
  });
});
