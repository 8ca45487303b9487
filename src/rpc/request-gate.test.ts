/** Who goes first through the gate of one node, on a clock that stands still. */
import { beforeEach, describe, expect, it } from "vitest";
import { TemporaryError } from "../core/errors.ts";
import { createFakeClock, type FakeClock } from "../testing/fake-clock.ts";
import { createRequestGate, type RequestGate } from "./request-gate.ts";
import { createRequestLimit, type RequestLimit } from "./request-limit.ts";

interface UnderWay {
  readonly method: string;
  answer(): Promise<void>;
  fail(error: Error): Promise<void>;
}

let clock: FakeClock;
let limit: RequestLimit;
let gate: RequestGate;
let underWay: UnderWay[];
let latencies: number[];

function open(ceiling: number): void {
  clock = createFakeClock();
  limit = createRequestLimit(ceiling);
  underWay = [];
  latencies = [];
  gate = createRequestGate(
    (method) =>
      new Promise((resolve, reject) => {
        const leave = () => {
          underWay = underWay.filter((each) => each !== request);
        };
        const request: UnderWay = {
          method,
          answer: async () => {
            leave();
            resolve(method);
            await clock.advance(0);
          },
          fail: async (error) => {
            leave();
            reject(error);
            await clock.advance(0);
          },
        };
        underWay.push(request);
      }),
    limit,
    clock,
    (latencyMs) => latencies.push(latencyMs),
  );
}

const methods = () => underWay.map(({ method }) => method);
const first = () => {
  const [request] = underWay;
  if (request === undefined) throw new Error("Nothing is under way");
  return request;
};
/** Asks, and has the answer noticed whatever it is. */
const ask = async (purpose: "head" | "backfill", method: string, signal?: AbortSignal) => {
  const outcome = gate
    .asking(purpose)(method, [], signal)
    .catch((error: unknown) => error);
  await clock.advance(0);
  return outcome;
};
const begin = (purpose: "head" | "backfill", method: string, signal?: AbortSignal) => {
  const outcome = gate
    .asking(purpose)(method, [], signal)
    .catch((error: unknown) => error);
  return { outcome };
};

describe("the gate of one node", () => {
  beforeEach(() => open(1));

  it("lets a question about the head pass all that wait to catch up", async () => {
    for (const each of ["b1", "b2", "b3"]) begin("backfill", each);
    begin("head", "h1");
    await clock.advance(0);
    expect(methods()).toEqual(["b1"]);
    await first().answer();
    expect(methods()).toEqual(["h1"]);
    await first().answer();
    expect(methods()).toEqual(["b2"]);
  });

  it("begins what waits after a failure too, and counts the failure against the limit", async () => {
    open(8);
    for (let i = 0; i < 9; i++) begin("backfill", `b${i}`);
    await clock.advance(5);
    expect(methods()).toHaveLength(4);
    await first().fail(new TemporaryError("node_rate_limited", "too many", { retryAfterSeconds: null }));
    expect(limit.status().limit).toBe(4);
    expect(methods()).toHaveLength(4);
    await first().answer();
    expect(latencies).toEqual([5]);
  });

  it("asks nothing while the node wants to be left alone, and goes on by itself afterwards", async () => {
    const failed = begin("head", "h1");
    await clock.advance(0);
    await first().fail(new TemporaryError("node_rate_limited", "too many", { retryAfterSeconds: 20 }));
    expect(await failed.outcome).toMatchObject({ code: "node_rate_limited" });
    begin("head", "h2");
    begin("backfill", "b1");
    await clock.advance(19_999);
    expect(methods()).toEqual([]);
    await clock.advance(1);
    expect(methods()).toEqual(["h2"]);
  });

  it("forgets a question whose asker gave up, and leaves no timer behind", async () => {
    const cancel = new AbortController();
    limit.pauseUntil(clock.monotonic() + 10_000);
    const { outcome } = begin("head", "h1", cancel.signal);
    await clock.advance(0);
    expect(clock.sleepers()).toEqual([10_000]);
    cancel.abort(new Error("enough"));
    expect(await outcome).toMatchObject({ message: "enough" });
    await clock.advance(0);
    expect(clock.sleepers()).toEqual([]);
    expect(await ask("head", "h2", cancel.signal)).toMatchObject({ message: "enough" });
  });
});
