/** Kills a daemon again and again at random moments while deposits arrive and blocks are mined, then looks at the books. */
import { expect } from "vitest";
import type { Address } from "../core/hex.ts";
import { isAnyOrderOverdue } from "../orders/order-status-store.ts";
import { systemClock } from "../runtime/clock.ts";
import { addressOf } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import type { Rig } from "./rig.ts";
import { seeded, startTraffic } from "./traffic.ts";

const USERS = 6;
/** Every second user is one who pays an order; the chain's time runs many times as fast as ours. */
const LIFETIMES = ["1h", "2m"];
/** A daemon that is killed every few seconds falls behind; how far depends on the machine. */
const CATCH_UP_MS_PER_KILL = 4_000;

export async function killAgainAndAgain(rig: Rig, kills: number, seed: number): Promise<void> {
  const random = seeded(seed);
  const users: Record<string, Address> = {};
  for (let index = 0; index < USERS; index++) {
    const user = `user-${index}`;
    users[user] = await (index % 2 === 0 ? rig.watch(user) : openOrder(rig, user, index));
  }
  const traffic = startTraffic(rig, {
    users: Object.values(users),
    random: seeded(7),
    pauseMs: 40,
    reorgShare: 0.1,
  });
  for (let kill = 0; kill < kills; kill++) {
    await untilRandomMoment(rig, random);
    await rig.daemon.kill("SIGKILL");
    await rig.expireHolds();
    await rig.daemon.launch();
  }
  await traffic.stop();
  await rig.daemon.ready();
  await rig.mineDeep(CATCH_UP_MS_PER_KILL * kills + 45_000);
  await waitFor(async () => !(await isAnyOrderOverdue(rig.test.database, rig.anvil.chainId)), {
    what: "orders whose deadline passed to end",
  });
  await rig.quiet();
  const told = await rig.test.database.query("SELECT FROM orders WHERE sequence > 0");
  expect(told).toHaveLength(USERS / 2);
  expect(traffic.sent()).toBeGreaterThan(kills);
  await expectAgreement(rig, users);
}

/** Of an amount that some of the payments to it come to. */
async function openOrder(rig: Rig, user: string, index: number): Promise<Address> {
  const address = addressOf(`order of ${user}`);
  const { status } = await rig.api.call("POST", "/v1/orders", {
    orderNo: user,
    chainId: rig.anvil.chainId,
    currency: "USDT",
    amount: "3000",
    expiresIn: LIFETIMES[index % 4 === 1 ? 0 : 1],
    address,
  });
  expect(status).toBe(201);
  return address;
}

/** What a write transaction of the daemon may be at: its statement names one of these tables. */
const AIMS = [
  "block_refs",
  "INTO deposits",
  "UPDATE deposits",
  "ledger_accounts",
  "ledger_entries",
  "UPDATE orders",
  "INTO events",
  "COMMIT",
];

/** One kill in five comes while the daemon starts, two some time after, two in the middle of a write transaction. */
async function untilRandomMoment(rig: Rig, random: () => number): Promise<void> {
  const process = rig.daemon.process();
  const kind = random();
  if (kind < 0.2) return systemClock.sleep(random() * 1_000);
  await process.line(({ msg }) => msg === "Took the lease");
  if (kind < 0.6) return systemClock.sleep(random() * 400);
  const aim = AIMS[Math.floor(random() * AIMS.length)] ?? "";
  // A statement that is too quick to be seen is as good a moment as any other.
  await waitFor(() => isWriting(rig, aim), { timeoutMs: 1_500, intervalMs: 0 }).catch(() => undefined);
}

async function isWriting(rig: Rig, aim: string): Promise<boolean> {
  const rows = await rig.test.database.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'depositd'
       AND backend_xid IS NOT NULL AND strpos(query, $1) > 0`,
    [aim],
  );
  return rows.length > 0;
}
