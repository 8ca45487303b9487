/** The screening of deposits, against a real PostgreSQL and a real HTTP service that misbehaves. */
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checksumAddress, hexToBytes } from "../core/hex.ts";
import { holdRulesOf } from "../review/hold-rules.ts";
import { claimScreenings, recordScreening } from "../review/screening-store.ts";
import { systemClock } from "../runtime/clock.ts";
import type { ScreeningConfig } from "../runtime/config/config.ts";
import { type LogFields, silentLogger } from "../runtime/logger.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, blockOf, CHAIN_ID, hashOf, MERCHANT_ID, transferOf } from "../testing/factory.ts";
import { createIngestedChain, type IngestedChain } from "../testing/ingested-chain.ts";
import { type Sink, type SinkAnswer, type SinkRequest, startSink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type ScreeningResult, screenDeposits } from "./screen-deposits.ts";
import { settleDeposits } from "./settle-deposits.ts";

const alice = addressOf("alice");
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

let test: TestDatabase;
let service: Sink;
let chain: IngestedChain;
let firstScreeningMs: number | null;
let config: ScreeningConfig;
let log: [sentence: string, fields: LogFields][];
let results: ScreeningResult[];
let stops: (() => Promise<void>)[];

beforeEach(async () => {
  test = await createTestDatabase();
  service = await startSink();
  service.answer(says({ answer: "approve" }));
  firstScreeningMs = 0;
  chain = await createIngestedChain(test.database, () => ({ firstScreeningMs }));
  config = {
    url: `${service.url}/screen`,
    secret: SECRET.slice("whsec_".length),
    timeoutMs: 30_000,
    scheduleMs: [0, 1, 1],
    onNoAnswer: "hold",
    concurrency: 4,
  };
  log = [];
  results = [];
  stops = [];
});
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()));
  await service.close();
  await test.drop();
});

const says = (answer: unknown, status = 200): SinkAnswer => ({ status, body: JSON.stringify(answer) });
const textOf = ({ body }: SinkRequest) => body.toString("utf8");
const questionIn = (request: SinkRequest) => JSON.parse(textOf(request)) as Record<string, unknown>;

const payment = (tx: string) => transferOf({ to: alice, tx, sender: addressOf("relayer") });
const ingestDue = (...names: string[]) => chain.ingestDue(...names.map(payment));

function settle() {
  const review = { fourEyes: false, limits: [], senderLists: [], screening: config };
  return settleDeposits(test.database, CHAIN_ID, undefined, holdRulesOf(review, { filesWith: () => [] }));
}

/** Works until the end of the test. */
function startScreening(): () => Promise<void> {
  const abort = new AbortController();
  const note = (sentence: string, fields: LogFields = {}) => void log.push([sentence, fields]);
  const running = screenDeposits(
    {
      database: test.database,
      screening: () => config,
      wakers: { settleNow: async () => void (await settle()) },
      clock: systemClock,
      logger: { ...silentLogger, info: note, warn: note, error: note },
      sweepIntervalMs: 50,
      onAttempt: (result) => void results.push(result),
    },
    abort.signal,
  );
  const stop = () => {
    abort.abort();
    return running;
  };
  stops.push(stop);
  return stop;
}

const until = (expected: readonly string[]) =>
  waitFor(async () => JSON.stringify(await chain.statuses()) === JSON.stringify(expected), {
    what: `deposits ${expected.join(", ")}`,
  });
const findings = async () =>
  (
    await test.database.query<{ findings: string[] }>(
      "SELECT findings FROM deposit_holds ORDER BY deposit_id",
    )
  ).flatMap((hold) => hold.findings);

describe("screening", () => {
  it.each([
    ["approve", "credited", []],
    ["hold", "held screening", ["The screening service answered hold: seen in a mixer"]],
    ["reject", "rejected screening", ["The screening service answered reject: seen in a mixer"]],
  ])("makes of the answer %s a deposit that is %s", async (answer, becomes, found) => {
    service.answer(says({ answer, note: "seen in\u0000a mixer", risk: 7 }));
    await ingestDue("1");
    expect(await settle()).toMatchObject({ credited: 0, held: 0 });
    startScreening();
    await until([becomes]);
    expect(await findings()).toEqual(found);
    expect(results).toEqual([answer]);
  });

  it("asks about the transfer, signed so that the stock verifier takes it", async () => {
    await ingestDue("1");
    startScreening();
    await until(["credited"]);
    const [request] = service.requests;
    if (request === undefined) throw new Error("nothing was asked");
    const [deposit] = await chain.deposits();
    expect(questionIn(request)).toEqual({
      id: deposit?.id,
      merchantId: MERCHANT_ID,
      userId: "alice",
      chainId: CHAIN_ID,
      currency: "ETH",
      token: null,
      decimals: 18,
      amount: "1",
      amountBaseUnits: "1000000000000000000",
      from: checksumAddress(addressOf("payer")),
      sender: checksumAddress(addressOf("relayer")),
      to: checksumAddress(alice),
      txHash: hashOf("tx 1"),
      source: "value",
      blockNumber: 1,
      blockHash: blockOf(1).hash,
      blockTime: new Date(blockOf(1).timestamp * 1000).toISOString(),
    });
    const headers = request.headers as Record<string, string>;
    expect(new Webhook(SECRET).verify(textOf(request), headers)).toEqual(questionIn(request));
    expect(headers["webhook-id"]).toBe(`${deposit?.id}-1`);
    expect(JSON.stringify(log)).not.toContain(config.secret);
    expect(JSON.stringify(log)).not.toContain("/screen");
  });

  const misbehaving: readonly [what: string, answer: SinkAnswer, problem: RegExp][] = [
    ["answers 500", says({ answer: "approve" }, 500), /^status 500$/],
    ["redirects", { status: 302, headers: { location: "/approve" } }, /^redirect 302$/],
    ["answers junk", { status: 200, body: "<html>approve</html>" }, /^what it answered is no answer$/],
    ["answers in other words", says({ answer: "Approve" }), /^what it answered is no answer$/],
    ["answers nothing", { status: 204 }, /^what it answered is no answer$/],
    ["answers without end", { status: 200, trouble: "endless-body" }, /^what it answered is no answer$/],
    ["hangs up", { trouble: "reset" }, /^reset /],
    ["speaks no HTTP", { trouble: "garbage" }, /^protocol$/],
  ];
  it.each(misbehaving)(
    "is tried again, by the schedule, when the service %s",
    async (_what, bad, problem) => {
      service.answer((_request, count) => (count < 2 ? bad : says({ answer: "approve" })));
      await ingestDue("1");
      startScreening();
      await until(["credited"]);
      expect(results).toEqual(["failed", "failed", "approve"]);
      const failed = log
        .filter(([, { result }]) => result === "failed")
        .map(([, fields]) => fields["problem"]);
      expect(failed).toEqual([expect.stringMatching(problem), expect.stringMatching(problem)]);
      const sent = service.requests.map((request) =>
        [request.headers["webhook-id"], textOf(request)].join(" "),
      );
      expect(new Set(sent).size).toBe(1);
    },
  );

  it("waits as long as the service asks where that is longer than the schedule, ten minutes at most", async () => {
    const busy = (seconds: string): SinkAnswer => ({ status: 429, headers: { "retry-after": seconds } });
    service.answer((request) => busy(questionIn(request)["txHash"] === hashOf("tx 1") ? "120" : "86400"));
    await ingestDue("1", "2");
    startScreening();
    await waitFor(() => results.length === 2, { what: "both questions to be asked" });
    const waits = log.map(([, fields]) => fields["next_attempt_in_ms"]);
    expect(waits.sort()).toEqual([120_000, 600_000]);
    const due = await test.database.query<{ seconds: number }>(
      "SELECT extract(epoch FROM next_attempt_at - now())::float8 AS seconds FROM screenings ORDER BY next_attempt_at",
    );
    expect(due.map(({ seconds }) => Math.ceil(seconds / 60))).toEqual([2, 10]);
  });

  it("takes the set answer after the last attempt: hold, unless the config says approve", async () => {
    service.answer(says({}, 503));
    await ingestDue("1");
    startScreening();
    await until(["held screening_no_answer"]);
    expect(results).toEqual(["failed", "failed", "no_answer"]);
    expect(await findings()).toEqual(["The screening service did not answer: status 503"]);
  });

  it("gives up on a service that hangs at its time limit, and asks the others' questions meanwhile", async () => {
    config = { ...config, timeoutMs: 5_000, scheduleMs: [0], onNoAnswer: "approve" };
    service.answer((request) =>
      questionIn(request)["txHash"] === hashOf("tx 1") ? { trouble: "hang" } : says({ answer: "hold" }),
    );
    await ingestDue("1", "2");
    startScreening();
    await until(["credited", "held screening"]);
    expect(results).toEqual(["hold", "no_answer"]);
  });

  it("asks about deposits that were pending before a service was configured", async () => {
    firstScreeningMs = null;
    await ingestDue("1", "2");
    expect(await test.database.query("SELECT FROM screenings")).toEqual([]);
    startScreening();
    await until(["credited", "credited"]);
    expect(service.requests).toHaveLength(2);
  });

  it("asks about a deposit whose balance counts only when it is measured, with what arrived", async () => {
    firstScreeningMs = null;
    await ingestDue("1", "2");
    const set = (assignments: string) =>
      test.database.query(`UPDATE deposits SET ${assignments} WHERE tx_hash = $1`, [
        hexToBytes(hashOf("tx 1")),
      ]);
    await set("event_amount = amount, measure_at = now(), credit_block = NULL");
    startScreening();
    await until(["credited", "pending"]);
    await set("amount = amount / 2, balance_nodes = 1, measure_at = NULL, credit_block = 3");
    await until(["credited", "credited"]);
    expect(service.requests.map(questionIn).map(({ txHash, amount }) => [txHash, amount])).toEqual([
      [hashOf("tx 2"), "1"],
      [hashOf("tx 1"), "0.5"],
    ]);
  });

  it("asks nothing about a deposit that left the chain, and anew where it is included again", async () => {
    await ingestDue("1");
    await chain.undo();
    startScreening();
    await waitFor(async () => (await test.database.query("SELECT FROM screenings")).length === 0, {
      what: "the question to be dropped",
    });
    expect(service.requests).toEqual([]);
    await ingestDue("1");
    await until(["credited"]);
    expect(service.requests.map(({ headers }) => headers["webhook-id"])).toEqual([
      expect.stringMatching(/^dep_.*-2$/),
    ]);
  });

  it("hands back what is under way when it stops, and uses up no attempt", async () => {
    service.answer({ trouble: "hang" });
    await ingestDue("1");
    const stop = startScreening();
    await service.received(1);
    await stop();
    expect(await test.database.query("SELECT state, failures FROM screenings")).toEqual([
      { state: "due", failures: 0 },
    ]);
    service.answer(says({ answer: "approve" }));
    startScreening();
    await until(["credited"]);
  });

  it("H7: takes nothing from a process whose claim ran out while it was frozen", async () => {
    await ingestDue("1");
    const approved = { next: "ended", screening: { state: "approve", detail: null } } as const;
    const [frozen] = await claimScreenings(test.database, 1, 0);
    const [later] = await claimScreenings(test.database, 1, 60_000);
    if (frozen === undefined || later === undefined) throw new Error("nothing was claimed");
    expect(await claimScreenings(test.database, 1, 60_000)).toEqual([]);
    expect(await recordScreening(test.database, frozen, approved)).toBe(false);
    expect(await settle()).toMatchObject({ credited: 0 });
    expect(await recordScreening(test.database, later, approved)).toBe(true);
    expect(await settle()).toMatchObject({ credited: 1 });
  });
});
