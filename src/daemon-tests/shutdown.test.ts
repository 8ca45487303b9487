/** An orderly stop in the middle of work. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { systemClock } from "../runtime/clock.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";
import { seeded, startTraffic } from "./traffic.ts";

const GRACE_MS = 2_000;
/** What the process itself needs to end once its work is done. */
const EXIT_MS = 1_500;

describeOnEachQueue("an orderly stop", (backend) => {
  let rig: Rig;
  const users: Record<string, Address> = {};
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start(), config: { shutdownGrace: `${GRACE_MS}ms` } });
    for (const userId of ["alice", "bob", "carol"]) users[userId] = await rig.watch(userId);
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  /** What a daemon holds while it works: claimed deliveries and the chain's lease. */
  const held = async () => {
    const [row] = await rig.test.database.query<{ deliveries: bigint; leases: bigint }>(
      `SELECT (SELECT count(*) FROM due_deliveries WHERE claimed_until > now()) AS deliveries,
         (SELECT count(*) FROM chains WHERE lease_until > now()) AS leases`,
    );
    return { deliveries: Number(row?.deliveries), leases: Number(row?.leases) };
  };

  it.each([
    ["finishes what answers within its grace", { delayMs: 150 }],
    ["hands back what does not", { trouble: "hang" }],
  ] as const)(
    "H10: on SIGTERM under load it %s, exits 0, and a restart completes the rest",
    async (_, answer) => {
      const traffic = startTraffic(rig, { users: Object.values(users), random: seeded(11), pauseMs: 20 });
      rig.receiver.answer(() => answer);
      await waitFor(async () => (await held()).deliveries > 0 && traffic.sent() > 20, {
        what: "work in progress",
      });
      const startedAt = systemClock.monotonic();
      const exit = await rig.daemon.kill("SIGTERM");
      const tookMs = systemClock.monotonic() - startedAt;
      await traffic.stop();

      expect(exit).toEqual({ code: 0, signal: null });
      expect(tookMs).toBeLessThan(GRACE_MS + EXIT_MS);
      expect(await held()).toEqual({ deliveries: 0, leases: 0 });

      rig.receiver.answer(() => ({}));
      await rig.daemon.start();
      await rig.mineDeep();
      await expectAgreement(rig, users);
    },
  );
});
