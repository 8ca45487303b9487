import { describe, expect, it } from "vitest";
import type { Clock } from "../runtime/clock.ts";
import { systemClock } from "../runtime/clock.ts";
import { waitFor } from "../testing/wait-for.ts";
import { createDeadlines } from "./deadlines.ts";

describe("deadlines", () => {
  it("fall due once, each at its time or a little later", async () => {
    const startedAt = systemClock.monotonic();
    const due: [name: string, afterMs: number][] = [];
    const deadlines = createDeadlines(systemClock);
    for (const [name, ms] of Object.entries({ late: 150, soon: 50 })) {
      deadlines.watch({
        dueAt: startedAt + ms,
        fallDue: () => due.push([name, systemClock.monotonic() - startedAt]),
      });
    }
    await waitFor(() => due.length === 2);
    expect(due.map(([name]) => name)).toEqual(["soon", "late"]);
    for (const [name, afterMs] of due) expect(afterMs).toBeGreaterThanOrEqual(name === "soon" ? 50 : 150);
  });

  it("do not fall due once called off, and stop ticking when none is left", async () => {
    const { clock, pass, sleepers } = steppedClock();
    const fell: string[] = [];
    const deadlines = createDeadlines(clock);
    const first = { dueAt: 30, fallDue: () => fell.push("first") };
    deadlines.watch(first);
    first.dueAt = Number.POSITIVE_INFINITY;
    await pass(50);
    expect(fell).toEqual([]);
    expect(sleepers()).toBe(0);
    deadlines.watch({ dueAt: 80, fallDue: () => fell.push("second") });
    await pass(20);
    expect(fell).toEqual([]);
    await pass(20);
    expect(fell).toEqual(["second"]);
    expect(sleepers()).toBe(0);
  });

  it("may be moved, also by another one that falls due in the same tick", async () => {
    const { clock, pass } = steppedClock();
    const fell: string[] = [];
    const deadlines = createDeadlines(clock);
    const moved = { dueAt: 20, fallDue: () => fell.push("moved") };
    const calledOff = { dueAt: 20, fallDue: () => fell.push("called off") };
    const mover = () => {
      fell.push("mover");
      moved.dueAt = 60;
      calledOff.dueAt = Number.POSITIVE_INFINITY;
    };
    for (const timed of [{ dueAt: 20, fallDue: mover }, moved, calledOff]) deadlines.watch(timed);
    await pass(40);
    expect(fell).toEqual(["mover"]);
    await pass(30);
    expect(fell).toEqual(["mover", "moved"]);
  });
});

/** A clock that stands still until the test lets time pass. */
function steppedClock() {
  let now = 0;
  let sleeping: (() => void)[] = [];
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    sleep: () => new Promise((resolve) => sleeping.push(resolve)),
  };
  const pass = async (ms: number) => {
    now += ms;
    const woken = sleeping;
    sleeping = [];
    for (const wake of woken) wake();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, pass, sleepers: () => sleeping.length };
}
