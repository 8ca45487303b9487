/** Two daemons on one database: one follows, the other takes over. */
import { afterAll, beforeAll, it } from "vitest";
import { createDaemon, type Daemon } from "../testing/daemon.ts";
import { freezeAgainAndAgain } from "./freeze-rounds.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";

describeOnEachQueue("two daemons on one database", (backend) => {
  let rig: Rig;
  let second: Daemon;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
    second = await createDaemon(rig.config);
    await second.start();
  });
  afterAll(async () => {
    await second.dispose();
    await rig.stop();
    await backend.stop();
  });

  it("H1, H7: one follows at a time; the other takes over from one that is frozen, whose late writes are refused, a hundred times", {
    timeout: 7_200_000,
  }, async () => {
    await freezeAgainAndAgain(rig, second, 100);
  });
});
