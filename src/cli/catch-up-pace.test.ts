import { describe, expect, it } from "vitest";
import { catchUpPace, paceText } from "./catch-up-pace.ts";

const since = new Date("2026-11-24T06:00:00Z");
const inSeconds = (seconds: number) => new Date(since.getTime() + seconds * 1000);
const behind = { behindFrom: 1_000n, behindSince: since, headNumber: 11_000n };

describe("the pace of catching up", () => {
  it("is what was done since it began, and what is left at that pace", () => {
    const pace = catchUpPace({ ...behind, cursorNumber: 5_000n, cursorAt: inSeconds(10) });
    expect(pace).toEqual({ percent: 40, blocksPerSecond: 400, secondsLeft: 15 });
    expect(pace && paceText(pace)).toBe("40 %, 400 blocks/s, 15 s left");
  });

  it("is not known before the first commit", () => {
    const pace = catchUpPace({ ...behind, cursorNumber: 1_000n, cursorAt: inSeconds(-60) });
    expect(pace).toEqual({ percent: 0, blocksPerSecond: null, secondsLeft: null });
    expect(pace && paceText(pace)).toBe("0 %");
  });

  it("is nothing at the head", () => {
    expect(catchUpPace({ ...behind, cursorNumber: 11_000n, cursorAt: inSeconds(10) })).toBeNull();
    const never = { behindFrom: null, behindSince: null, headNumber: 11_000n };
    expect(catchUpPace({ ...never, cursorNumber: 5_000n, cursorAt: inSeconds(10) })).toBeNull();
  });
});
