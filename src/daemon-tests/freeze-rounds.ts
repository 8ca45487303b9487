/** Two daemons on one database, of which the one that follows is frozen again and again. */
import { expect } from "vitest";
import type { Address } from "../core/hex.ts";
import type { Daemon } from "../testing/daemon.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import type { Rig } from "./rig.ts";
import { seeded, startTraffic } from "./traffic.ts";

export async function freezeAgainAndAgain(rig: Rig, second: Daemon, freezes: number): Promise<void> {
  const holder = async () => {
    const [row] = await rig.test.database.query<{ lease_holder: string }>(
      "SELECT lease_holder FROM chains WHERE lease_until > now()",
    );
    return row?.lease_holder;
  };
  /** The holder's name has the number of its process in it. */
  const isHeldBy = async (daemon: Daemon) => (await holder())?.includes(`:${daemon.process().pid}:`) === true;

  const users: Record<string, Address> = { alice: await rig.watch("alice"), bob: await rig.watch("bob") };
  const traffic = startTraffic(rig, {
    users: Object.values(users),
    random: seeded(17),
    pauseMs: 30,
    reorgShare: 0.1,
  });
  for (let freeze = 0; freeze < freezes; freeze++) {
    await waitFor(holder, { what: "somebody to follow" });
    const [leader, other] = (await isHeldBy(second)) ? [second, rig.daemon] : [rig.daemon, second];
    leader.process().signal("SIGSTOP");
    // Frozen within a transaction it holds the chain's row, until the database ends its session.
    await waitFor(() => isHeldBy(other), { timeoutMs: 30_000, what: "the other to take over" }).finally(() =>
      leader.process().signal("SIGCONT"),
    );
  }
  await traffic.stop();
  // A request that was under way when its daemon froze may be tried again only after a pause.
  await rig.mineDeep(120_000 + 4_000 * freezes);
  await expectAgreement(rig, users);
  expect([rig.daemon.process().isRunning(), second.process().isRunning()]).toEqual([true, true]);
}
