/** The example as a process of its own, as a merchant would run it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const PROGRAM = fileURLToPath(new URL("merchant.mjs", import.meta.url));
const SECRET = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
const OTHER_SECRET = `whsec_${Buffer.alloc(32, 2).toString("base64")}`;

interface Merchant {
  readonly url: string;
  readonly process: ChildProcess;
}

let folder: string;
const running: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "merchant-"));
});
afterEach(async () => {
  for (const each of running.splice(0)) await kill(each);
  await rm(folder, { recursive: true, force: true });
});

async function start(env: Record<string, string> = { CALLBACK_SECRET: SECRET }): Promise<Merchant> {
  const child = spawn(process.execPath, [PROGRAM], {
    cwd: folder,
    env: { PATH: process.env["PATH"], PORT: "0", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(child);
  const [line] = await once(child.stdout, "data");
  child.stdout.resume();
  return { url: /http:\S+/.exec(String(line))?.[0] ?? "", process: child };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

function deposit(given: Record<string, unknown>) {
  return {
    id: "dep_1",
    sequence: 1,
    status: "pending",
    userId: "alice",
    chainId: 31337,
    currency: "USDT",
    token: "0x00000000000000000000000000000000000000AA",
    decimals: 6,
    amount: "12.5",
    amountBaseUnits: "12500000",
    ...given,
  };
}

async function send(
  merchant: Merchant,
  data: { status?: string } & Record<string, unknown>,
  options: { secret?: string; at?: Date; type?: string } = {},
): Promise<number> {
  const at = options.at ?? new Date();
  const body = JSON.stringify({
    type: options.type ?? `deposit.${data.status}`,
    timestamp: at.toISOString(),
    data,
  });
  const answer = await fetch(`${merchant.url}/callbacks`, {
    method: "POST",
    body,
    headers: {
      "webhook-id": "evt_1",
      "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
      "webhook-signature": new Webhook(options.secret ?? SECRET).sign("evt_1", at, body),
    },
  });
  return answer.status;
}

async function balances(merchant: Merchant): Promise<unknown[]> {
  const answer = (await (await fetch(`${merchant.url}/balances`)).json()) as {
    items: Record<string, unknown>[];
  };
  return answer.items.map((item) => [
    item["userId"],
    item["currency"],
    item["lockedBaseUnits"],
    item["availableBaseUnits"],
  ]);
}

describe("the example merchant", () => {
  it("follows a deposit from pending to unlocked", async () => {
    const merchant = await start();
    expect(await send(merchant, deposit({ sequence: 1, status: "pending" }))).toBe(204);
    expect(await balances(merchant)).toEqual([]);
    await send(merchant, deposit({ sequence: 2, status: "credited" }));
    expect(await balances(merchant)).toEqual([["alice", "USDT", "12500000", "0"]]);
    await send(merchant, deposit({ sequence: 3, status: "unlocked" }));
    expect(await balances(merchant)).toEqual([["alice", "USDT", "0", "12500000"]]);
  });

  it("counts a repeated callback once, many at a time too", async () => {
    const merchant = await start();
    const credited = deposit({ sequence: 2, status: "credited" });
    const statuses = await Promise.all(Array.from({ length: 20 }, () => send(merchant, credited)));
    expect(new Set(statuses)).toEqual(new Set([204]));
    expect(await balances(merchant)).toEqual([["alice", "USDT", "12500000", "0"]]);
  });

  it("is not misled by a pending that comes after its credited", async () => {
    const merchant = await start();
    await send(merchant, deposit({ sequence: 3, status: "unlocked" }));
    expect(await send(merchant, deposit({ sequence: 1, status: "pending" }))).toBe(204);
    expect(await send(merchant, deposit({ sequence: 2, status: "credited" }))).toBe(204);
    expect(await balances(merchant)).toEqual([["alice", "USDT", "0", "12500000"]]);
  });

  it("takes back what was reversed, and counts it again when it comes back", async () => {
    const merchant = await start();
    await send(merchant, deposit({ sequence: 2, status: "credited" }));
    await send(merchant, deposit({ sequence: 3, status: "reversed" }));
    expect(await balances(merchant)).toEqual([["alice", "USDT", "0", "0"]]);
    await send(merchant, deposit({ sequence: 5, status: "credited" }));
    expect(await balances(merchant)).toEqual([["alice", "USDT", "12500000", "0"]]);
  });

  it("keeps users, tokens and chains apart, and amounts exact", async () => {
    const merchant = await start();
    const huge = (2n ** 256n - 1n).toString();
    await send(merchant, deposit({ id: "dep_1", status: "credited", amountBaseUnits: huge }));
    await send(merchant, deposit({ id: "dep_2", status: "credited", amountBaseUnits: huge }));
    await send(merchant, deposit({ id: "dep_3", status: "credited", userId: "bob" }));
    await send(
      merchant,
      deposit({ id: "dep_4", status: "unlocked", token: null, currency: "ETH", amountBaseUnits: "1" }),
    );
    expect(await balances(merchant)).toEqual([
      ["alice", "USDT", (2n ** 257n - 2n).toString(), "0"],
      ["bob", "USDT", "12500000", "0"],
      ["alice", "ETH", "0", "1"],
    ]);
  });

  it("answers 401 to a wrong signature, and counts nothing", async () => {
    const merchant = await start();
    expect(await send(merchant, deposit({ status: "credited" }), { secret: OTHER_SECRET })).toBe(401);
    const answer = await fetch(`${merchant.url}/callbacks`, {
      method: "POST",
      body: JSON.stringify({ type: "deposit.credited" }),
    });
    expect(answer.status).toBe(401);
    expect(await balances(merchant)).toEqual([]);
  });

  it("answers 401 to a callback that was signed more than five minutes ago", async () => {
    const merchant = await start();
    const old = new Date(Date.now() - 6 * 60_000);
    expect(await send(merchant, deposit({ status: "credited" }), { at: old })).toBe(401);
    expect(await balances(merchant)).toEqual([]);
  });

  it("neither loses nor doubles anything over a kill and a restart", async () => {
    const first = await start();
    await send(first, deposit({ sequence: 2, status: "credited" }));
    await kill(first.process);
    const second = await start();
    expect(await balances(second)).toEqual([["alice", "USDT", "12500000", "0"]]);
    await send(second, deposit({ sequence: 2, status: "credited" }));
    await send(second, deposit({ sequence: 3, status: "unlocked" }));
    expect(await balances(second)).toEqual([["alice", "USDT", "0", "12500000"]]);
  });

  it("waits for its secret, which may come later, and takes two while they change over", async () => {
    const file = join(folder, "secret");
    const merchant = await start({ CALLBACK_SECRET_FILE: file });
    expect(await send(merchant, deposit({ status: "credited" }))).toBe(503);
    await writeFile(file, `${OTHER_SECRET}\n${SECRET}\n`);
    expect(await send(merchant, deposit({ status: "credited" }))).toBe(204);
    expect(await send(merchant, deposit({ sequence: 2, status: "unlocked" }), { secret: OTHER_SECRET })).toBe(
      204,
    );
    expect(await balances(merchant)).toEqual([["alice", "USDT", "0", "12500000"]]);
  });

  it("takes types it does not know", async () => {
    const merchant = await start();
    expect(await send(merchant, { anything: true }, { type: "endpoint.test" })).toBe(204);
    expect(await balances(merchant)).toEqual([]);
  });
});
