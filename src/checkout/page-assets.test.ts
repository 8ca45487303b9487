import { Script } from "node:vm";
import { beforeEach, expect, test } from "vitest";
import { SCRIPT } from "./page-assets.ts";

/** As much of an element as the script touches. */
function element(dataset: Record<string, string> = {}) {
  const listeners = new Map<string, () => unknown>();
  return {
    textContent: "",
    dataset,
    hidden: true,
    listeners,
    addEventListener: (type: string, listener: () => unknown) => void listeners.set(type, listener),
  };
}

const main = element({ page: "first", left: "3700" });
const message = element();
const left = element();
const button = element({ copy: "1.5" });
/** What is to be done later, and in how many milliseconds. */
let later: [work: () => unknown, ms: number][];
let asked: string[];
let reloads: number;
let copied: string[];
let answer: { readonly ok: boolean; readonly status: number; readonly json: () => Promise<unknown> };

beforeEach(() => {
  later = [];
  asked = [];
  reloads = 0;
  copied = [];
  new Script(SCRIPT).runInNewContext({
    document: {
      hidden: false,
      querySelector: () => main,
      getElementById: (id: string) => (id === "message" ? message : left),
      querySelectorAll: () => [button],
      addEventListener: () => undefined,
    },
    location: { pathname: "/pay/ord_1", reload: () => void reloads++ },
    navigator: { clipboard: { writeText: async (text: string) => void copied.push(text) } },
    performance: { now: () => 0 },
    fetch: async (path: string) => {
      asked.push(path);
      return answer;
    },
    setInterval: () => undefined,
    setTimeout: (work: () => unknown, ms: number) => void later.push([work, ms]),
  });
});

const answerWith = (state: object) => {
  answer = { ok: true, status: 200, json: async () => state };
};
const lookAgain = async () => {
  const [work] = later.shift() ?? [];
  await work?.();
};

test("the page's script shows news in place, and the time that is left", async () => {
  expect(left.textContent).toBe(" (1:01:40 left)");
  answerWith({ page: "first", secondsLeft: 65, message: "1 ETH seen" });
  await lookAgain();
  expect(asked).toEqual(["/pay/ord_1/state"]);
  expect([message.textContent, reloads]).toEqual(["1 ETH seen", 0]);
  expect(later.map(([, ms]) => ms)).toEqual([3_000]);
});

test("the page's script loads the page anew once, when something else is to be paid", async () => {
  answerWith({ page: "second", secondsLeft: 65, message: "Paid" });
  await lookAgain();
  expect([reloads, later]).toEqual([1, []]);
});

test("the page's script asks less and less often while there is no answer, and as before after one", async () => {
  answer = { ok: false, status: 503, json: async () => ({}) };
  const waits: number[] = [];
  for (let look = 0; look < 5; look++) {
    await lookAgain();
    waits.push(later[0]?.[1] ?? 0);
  }
  expect(waits).toEqual([6_000, 12_000, 24_000, 30_000, 30_000]);
  answerWith({ page: "first", secondsLeft: 65, message: "" });
  await lookAgain();
  expect(later.map(([, ms]) => ms)).toEqual([3_000]);
});

test("the page's script copies where the browser lets it", async () => {
  expect(button.hidden).toBe(false);
  await button.listeners.get("click")?.();
  expect([copied, button.textContent]).toEqual([["1.5"], "Copied"]);
});
