/** The merchant's own backend (`examples/merchant`) as a process of its own, and what it has been told. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/runtime/clock.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { DepositView } from "./api.ts";
import type { AssetPart, User } from "./cast.ts";
import type { Payment } from "./demo-chain.ts";
import type { Narrator } from "./narrator.ts";
import { environment, ProgramFailed, startProgram } from "./program.ts";
import type { StageTools } from "./stage.ts";
import { amountText, detailText } from "./words.ts";

export interface Merchant {
  readonly url: string;
  /**
   * Resolves when it has been told of this status for every deposit of the payment; with `times`, as often.
   *
   * @throws {Error} when that takes too long
   */
  told(payment: Payment, status: string, times?: number): Promise<void>;
  /** Resolves when it has been told of the newest status of each. */
  toldAllOf(deposits: readonly DepositView[]): Promise<void>;
  /** What it holds for a user by its own books, in base units. */
  holdings(): Promise<(user: User, asset: AssetPart) => bigint>;
  /** Callbacks that were news to it, and those that it had already. */
  counts(): { readonly booked: number; readonly known: number };
  /** Rejects when it ends; else it stays pending. */
  readonly broken: Promise<never>;
}

/** Long enough for a killed daemon's claims to run out (20 s), or for an attempt that timed out to be made again (60 s). */
export const TOLD_TIMEOUT_MS = 90_000;
const SAY_SO_AFTER_MS = 5_000;

const PROGRAM = fileURLToPath(new URL("../../examples/merchant/merchant.mjs", import.meta.url));

/** The line it prints for each callback. */
interface Callback {
  /** Passed over: it tells of something else than a deposit. */
  readonly result: "booked" | "known" | "passed over";
  /** When it happened. */
  readonly timestamp: string;
  readonly data: DepositView;
}

/** What its balances look like, as far as the demo looks. */
interface Holding {
  readonly userId: string;
  readonly currency: string | null;
  readonly lockedBaseUnits: string;
  readonly availableBaseUnits: string;
}

/** @param register makes the callback endpoint and answers its secret */
export async function startMerchant(
  tools: StageTools,
  register: (url: string) => Promise<string>,
): Promise<Merchant> {
  const told: DepositView[] = [];
  const counts = { booked: 0, known: 0 };
  const take = ({ result, timestamp, data }: Callback) => {
    if (result === "passed over") return;
    counts[result] += 1;
    if (result === "known") return;
    told.push(data);
    tell(tools.narrator, data, systemClock.now() - Date.parse(timestamp));
  };

  const { url, broken, secretFile } = await runProgram(tools, take);
  await writeFile(secretFile, await register(`${url}/callbacks`), { mode: 0o600 });
  const wait = async (condition: () => boolean, what: string) => {
    const over = new AbortController();
    void systemClock.sleep(SAY_SO_AFTER_MS, over.signal).then(() => {
      if (over.signal.aborted) return;
      tools.narrator.act(
        "demo",
        `waits for ${what}; a callback that a kill cut off is sent again after 20 s`,
      );
    });
    try {
      await waitFor(condition, { timeoutMs: TOLD_TIMEOUT_MS, what });
    } finally {
      over.abort();
    }
  };

  return {
    url,
    told: (payment, status, times = 1) => {
      const isIt = (each: DepositView) => each.txHash === payment.hash && each.status === status;
      const expected = payment.deposits * times;
      return wait(() => told.filter(isIt).length >= expected, `"${payment.label}" to be told as ${status}`);
    },
    toldAllOf: (deposits) => {
      const isTold = ({ id, sequence }: DepositView) =>
        told.some((each) => each.id === id && each.sequence >= sequence);
      return wait(() => deposits.every(isTold), "the merchant to be told of everything");
    },
    holdings: async () => {
      const { items } = (await (await fetch(`${url}/balances`)).json()) as { items: Holding[] };
      return (user, { currency }) =>
        items
          .filter((each) => each.userId === user && each.currency === currency)
          .reduce((sum, each) => sum + BigInt(each.lockedBaseUnits) + BigInt(each.availableBaseUnits), 0n);
    },
    counts: () => counts,
    broken,
  };
}

/** Its secret comes later, in a file: to have one, its URL must be known. */
async function runProgram({ folder, stagehand }: StageTools, take: (callback: Callback) => void) {
  const secretFile = join(folder, "callback-secret");
  let url: string | undefined;
  const program = startProgram(stagehand, [PROGRAM], {
    cwd: folder,
    env: {
      ...environment(),
      HOST: "127.0.0.1",
      PORT: "0",
      CALLBACK_SECRET_FILE: secretFile,
      STATE_FILE: join(folder, "merchant-state.json"),
    },
    onLine: (line) => {
      url ??= /^Listening on (http:\S+)/.exec(line)?.[1];
      if (line.startsWith("{")) take(JSON.parse(line) as Callback);
    },
  });
  const broken = program.ended.then((how): never => {
    throw new ProgramFailed("the merchant", how, program.lastLines());
  });
  broken.catch(() => undefined);
  const listening = await Promise.race([broken, waitFor(() => url, { what: "the merchant to listen" })]);
  return { url: listening, broken, secretFile };
}

function tell(narrator: Narrator, deposit: DepositView, delayMs: number): void {
  narrator.deposit({
    blockNumber: deposit.blockNumber,
    user: deposit.userId,
    amount: amountText(deposit),
    status: deposit.status,
    detail: detailText(deposit),
    callback: `callback ${delayMs} ms`,
  });
}
