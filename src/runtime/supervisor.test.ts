import { beforeEach, describe, expect, it } from "vitest";
import { FatalError, TemporaryError } from "../core/errors.ts";
import { createFakeClock, type FakeClock } from "../testing/fake-clock.ts";
import { silentLogger } from "./logger.ts";
import { createSupervisor, type Supervisor, type Worker } from "./supervisor.ts";

let clock: FakeClock;
let supervisor: Supervisor;

beforeEach(() => {
  clock = createFakeClock();
  // 0.5 is the middle of the jitter: delays are exactly the written ones.
  supervisor = create(0.5);
});

function create(fraction: number): Supervisor {
  const random = { bytes: (length: number) => Buffer.alloc(length), fraction: () => fraction };
  return createSupervisor({ logger: silentLogger, clock, random, graceMs: 5_000 });
}

const untilAborted = (signal: AbortSignal) => clock.sleep(Number.POSITIVE_INFINITY, signal);
const temporary = () => new TemporaryError("database_unreachable", "The database is away");
const fatal = () => new FatalError("wrong_chain", "The node is on chain 5");

/** A worker that does at its n-th run what the n-th script says; the last one again and again. */
function scripted(
  name: string,
  ...script: ((signal: AbortSignal) => Promise<void>)[]
): Worker & { runs: number[] } {
  const runs: number[] = [];
  const startedAt = clock.monotonic();
  return {
    name,
    runs,
    run: (signal) => {
      runs.push(clock.monotonic() - startedAt);
      const step = script[Math.min(runs.length, script.length) - 1];
      return step === undefined ? Promise.resolve() : step(signal);
    },
  };
}

const failing = (error: () => Error) => () => Promise.reject(error());

describe("supervisor", () => {
  it("starts a worker that failed again after 0.5, 1, 2, 4, 8, 16, 30, 30 seconds", async () => {
    const worker = scripted("settle", failing(temporary));
    supervisor.start([worker]);
    await clock.advance(92_000);
    const gaps = worker.runs.slice(1).map((at, i) => at - (worker.runs[i] ?? 0));
    expect(gaps).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    await supervisor.stop();
  });

  it.each([
    [0, 400],
    [0.999999, 600],
  ])("spreads the delays by ± 20 %% (fraction %d: %d ms)", async (fraction, firstMs) => {
    supervisor = create(fraction);
    supervisor.start([scripted("settle", failing(temporary), untilAborted)]);
    await clock.advance(0);
    expect(clock.sleepers()).toEqual([firstMs]);
    await supervisor.stop();
  });

  it("begins with the shortest delay again after a worker has run well for a while", async () => {
    const worker = scripted(
      "settle",
      failing(temporary),
      failing(temporary),
      async () => {
        await clock.sleep(10_000);
        throw temporary();
      },
      untilAborted,
    );
    supervisor.start([worker]);
    await clock.advance(60_000);
    expect(worker.runs).toEqual([0, 500, 1_500, 12_000]);
    await supervisor.stop();
  });

  it("shows what a worker waits for, and since when", async () => {
    const begin = clock.now();
    supervisor.start([scripted("settle", failing(temporary)), scripted("http", untilAborted)]);
    await clock.advance(700);
    expect(supervisor.health()).toEqual([
      { name: "settle", state: "backing_off", error: "The database is away", since: begin },
      { name: "http", state: "running", error: null, since: begin },
    ]);
    await supervisor.stop();
    expect(supervisor.health().map((worker) => worker.state)).toEqual(["stopped", "stopped"]);
  });

  it("retries a fatal failure every 30 seconds, keeps it visible meanwhile, and lets the others be", async () => {
    const begin = clock.now();
    const wrong = scripted("follow 1", failing(fatal));
    const right = scripted("follow 2", untilAborted);
    supervisor.start([wrong, right]);
    await clock.advance(90_000);
    expect(wrong.runs).toEqual([0, 30_000, 60_000, 90_000]);
    expect(right.runs).toEqual([0]);
    expect(supervisor.health()).toEqual([
      { name: "follow 1", state: "failed", error: "The node is on chain 5", since: begin },
      { name: "follow 2", state: "running", error: null, since: begin },
    ]);
    await supervisor.stop();
  });

  it("shows a failed worker as failed until it has run well for 10 seconds", async () => {
    supervisor.start([scripted("follow 1", failing(fatal), untilAborted)]);
    await clock.advance(39_999);
    expect(supervisor.health()[0]).toMatchObject({ state: "failed" });
    await clock.advance(1);
    expect(supervisor.health()[0]).toMatchObject({ state: "running", error: null });
    await supervisor.stop();
  });

  it("shows a worker as well as soon as it says that its work is done, and lets its pauses grow all the same", async () => {
    const runs: number[] = [];
    const worker: Worker = {
      name: "follow 1",
      run: async (signal, onWell) => {
        runs.push(clock.monotonic());
        if (runs.length === 1) throw temporary();
        onWell();
        if (runs.length < 4) throw temporary();
        await untilAborted(signal);
      },
    };
    supervisor.start([worker]);
    await clock.advance(499);
    expect(supervisor.health()[0]).toMatchObject({ state: "backing_off" });
    await clock.advance(3_001);
    expect(runs.slice(1).map((at, index) => at - (runs[index] ?? 0))).toEqual([500, 1_000, 2_000]);
    expect(supervisor.health()[0]).toMatchObject({ state: "running", error: null });
    await supervisor.stop();
  });

  it("treats an error of no known kind as one that somebody has to look at", async () => {
    supervisor.start([
      scripted(
        "settle",
        failing(() => new TypeError("x is not a function")),
      ),
    ]);
    await clock.advance(0);
    expect(supervisor.health()[0]).toMatchObject({ state: "failed", error: "x is not a function" });
    await supervisor.stop();
  });

  it("treats a worker that throws before its first await, or ends unasked, as one that failed", async () => {
    const synchronous: Worker = {
      name: "sync",
      run: () => {
        throw temporary();
      },
    };
    supervisor.start([synchronous, scripted("ended", () => Promise.resolve())]);
    await clock.advance(0);
    expect(supervisor.health().map((worker) => worker.state)).toEqual(["backing_off", "backing_off"]);
    await supervisor.stop();
  });

  it("starts each worker once, however often it is told to", async () => {
    const worker = scripted("http", untilAborted);
    supervisor.start([worker]);
    supervisor.start([worker]);
    await clock.advance(0);
    expect(worker.runs).toHaveLength(1);
    await supervisor.stop();
  });

  it("stops once, also when told twice at once, before the start, or while a worker waits for its retry", async () => {
    await create(0.5).stop();
    const worker = scripted("settle", failing(temporary));
    supervisor.start([worker]);
    await clock.advance(100);
    await Promise.all([supervisor.stop(), supervisor.stop()]);
    await supervisor.stop();
    supervisor.start([scripted("late", untilAborted)]);
    await clock.advance(60_000);
    expect(worker.runs).toHaveLength(1);
    expect(supervisor.health()).toMatchObject([{ name: "settle", state: "stopped" }]);
    expect(clock.sleepers()).toEqual([]);
  });

  it("waits for what a worker still does, and no longer than the grace", async () => {
    let isDone = false;
    const slow = scripted("slow", async (signal) => {
      await untilAborted(signal);
      await clock.sleep(3_000);
      isDone = true;
    });
    const stuck = scripted("stuck", () => clock.sleep(1_000_000));
    supervisor.start([slow, stuck]);
    await clock.advance(0);
    let isStopped = false;
    const stopping = supervisor.stop().then(() => {
      isStopped = true;
    });
    await clock.advance(4_999);
    expect({ isDone, isStopped }).toEqual({ isDone: true, isStopped: false });
    await clock.advance(1);
    await stopping;
    expect(supervisor.health().map((worker) => worker.state)).toEqual(["stopped", "running"]);
  });
});
