/**
 * A flow of deliveries, and a daemon that is killed in the middle of it again and again: while it starts, claims, sends
 * and records. What every merchant may rely on then: each event came, always under the same id with the same bytes.
 */
import { Webhook } from "standardwebhooks";
import { expect } from "vitest";
import { createEndpointSecret, formatEndpointSecret } from "../delivery/endpoint-secret.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { insertDeliveries } from "../testing/callbacks.ts";
import { createDaemon, DAEMON_SECRET_KEY, type Daemon } from "../testing/daemon.ts";
import { chainOf } from "../testing/daemon-config.ts";
import type { TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { type Sink, startSink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";
import { seeded } from "./traffic.ts";

const ENDPOINTS = 3;
const EVENTS_EACH_TIME = 15;

export interface KillPlay {
  readonly test: TestDatabase;
  /** `null`: BullMQ on PostgreSQL. */
  readonly redisUrl: string | null;
  readonly kills: number;
  readonly seed: number;
}

/** @returns how many requests came more than once */
export async function deliverAcrossKills({ test, redisUrl, kills, seed }: KillPlay): Promise<number> {
  const random = seeded(seed);
  const sink = await startSink();
  // A merchant that is slow at times, and broken at times.
  sink.answer(() => ({ status: random() < 0.1 ? 500 : 204, delayMs: Math.round(random() * 20) }));
  const secrets = await insertEndpoints(test, sink);
  const node = { chainId: 31_337, url: "http://127.0.0.1:1" };
  const daemon = await createDaemon({ databaseUrl: test.url, redisUrl, chains: [chainOf(node)] });
  try {
    for (let kill = 0; kill < kills; kill++) {
      await insertDeliveries(test.database, [...secrets.keys()], EVENTS_EACH_TIME);
      await launchDeliverer(daemon);
      await untilRandomMoment(daemon, sink, random);
      await daemon.kill("SIGKILL");
      await expireClaims(test);
    }
    await launchDeliverer(daemon);
    await untilNothingIsDue(test);
    await daemon.kill("SIGTERM");
    await expectAllTold(test, sink, secrets);
    return sink.requests.length - kills * EVENTS_EACH_TIME * ENDPOINTS;
  } finally {
    await daemon.dispose();
    await sink.close();
  }
}

async function insertEndpoints(test: TestDatabase, sink: Sink): Promise<ReadonlyMap<string, string>> {
  const box = createSecretBox(Buffer.from(DAEMON_SECRET_KEY, "hex"), systemRandom);
  await test.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test')", [MERCHANT_ID]);
  const secrets = new Map<string, string>();
  for (let number = 0; number < ENDPOINTS; number++) {
    const id = `end_${number}`;
    const secret = createEndpointSecret(systemRandom);
    await test.database.query(
      "INSERT INTO endpoints (id, merchant_id, url, events, secret) VALUES ($1, $2, $3, '{endpoint.test}', $4)",
      [id, MERCHANT_ID, `${sink.url}/${id}`, box.seal(secret.bytes)],
    );
    secrets.set(id, formatEndpointSecret(secret) ?? "");
  }
  return secrets;
}

async function launchDeliverer(daemon: Daemon): Promise<void> {
  await daemon.launch({}, ["--roles", "deliver"]);
}

/** One kill in five comes while it starts; the others some requests after it began to send. */
async function untilRandomMoment(daemon: Daemon, sink: Sink, random: () => number): Promise<void> {
  if (random() < 0.2) return systemClock.sleep(random() * 500);
  const before = sink.requests.length;
  await daemon.process().line(({ msg }) => msg === "Started", 60_000);
  const some = 1 + Math.floor(random() * EVENTS_EACH_TIME * ENDPOINTS);
  await waitFor(() => sink.requests.length >= before + some, { timeoutMs: 2_000, intervalMs: 1 }).catch(
    () => undefined, // fewer were due: any moment is as good
  );
}

/** As if the time between the kill and the end of its claims, or of a pause, had passed. */
async function expireClaims({ database }: TestDatabase): Promise<void> {
  await database.query("UPDATE due_deliveries SET claimed_until = now() WHERE claimed_until > now()");
  await database.query("UPDATE endpoints SET paused_until = now() WHERE paused_until > now()");
}

async function untilNothingIsDue({ database }: TestDatabase): Promise<void> {
  const isDone = async () => {
    const [row] = await database.query<{ due: bigint }>("SELECT count(*) AS due FROM due_deliveries");
    return row?.due === 0n;
  };
  await waitFor(isDone, { timeoutMs: 120_000, what: "all to be delivered" });
}

async function expectAllTold(
  { database }: TestDatabase,
  sink: Sink,
  secrets: ReadonlyMap<string, string>,
): Promise<void> {
  const events = await database.query<{ id: string; body: string }>("SELECT id, body FROM events");
  const expected = new Map(events.map(({ id, body }) => [`evt_${id.replaceAll("-", "")}`, body]));
  for (const [endpointId, secret] of secrets) {
    const webhook = new Webhook(secret);
    const requests = sink.requests.filter(({ path }) => path === `/${endpointId}`);
    for (const { headers, body } of requests) {
      expect(body.toString()).toBe(expected.get(String(headers["webhook-id"])));
      // Long plays outlast the five minutes that a verifier allows.
      const timestamp = new Date(Number(headers["webhook-timestamp"]) * 1_000);
      const [id, text] = [String(headers["webhook-id"]), body.toString()];
      expect(String(headers["webhook-signature"])).toBe(webhook.sign(id, timestamp, text));
    }
    const told = new Set(requests.map(({ headers }) => String(headers["webhook-id"])));
    expect(told).toEqual(new Set(expected.keys()));
  }
  expect(await database.query("SELECT DISTINCT state FROM deliveries")).toEqual([{ state: "delivered" }]);
}
