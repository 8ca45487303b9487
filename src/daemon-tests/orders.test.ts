/** Orders, opened over HTTP, paid with real tokens on real branches, and told with callbacks. */
import { encodeFunctionData } from "viem";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import { type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

interface OrderView {
  readonly id: string;
  readonly sequence: number;
  readonly status: string;
  readonly address: Address;
  readonly paid: string;
  readonly late: string;
  readonly remaining: string;
  readonly expiresAt: string;
  readonly paidAt: string | null;
  readonly deposits?: readonly { readonly status: string; readonly amount: string }[];
}

const EMPTY = {};
const empty = (count: number) => Array.from({ length: count }, () => EMPTY);

let rig: Rig;
/** By user: the address of their order. */
const users: Record<string, Address> = {};
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

/** Of 12.5 USDT, for a user of the same name. */
async function open(orderNo: string, expiresIn = "1h"): Promise<OrderView> {
  const address = addressOf(`order ${orderNo}`);
  users[orderNo] = address;
  const wanted = {
    orderNo,
    chainId: rig.anvil.chainId,
    currency: "USDT",
    amount: "12.5",
    expiresIn,
    address,
  };
  const { status, body } = await rig.api.call<OrderView>("POST", "/v1/orders", wanted);
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
}

const find = async (id: string) => (await rig.api.call<OrderView>("GET", `/v1/orders/${id}`)).body;
/** In seconds: the last that a block in time may have. */
const deadlineOf = (order: OrderView) => Math.floor(Date.parse(order.expiresAt) / 1000);
const pay = (to: Address, value: bigint, fromAccount: number) =>
  rig.anvil.sign({
    from: rig.anvil.account(fromAccount),
    to: rig.token.address,
    data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, value] }),
  });
interface Feed {
  readonly items: readonly {
    readonly id: string;
    readonly type: string;
    readonly data: { readonly id: string };
  }[];
}

/** Types of the callbacks about an order, in the order of their `sequence`, repeats dropped. */
function toldOf(id: string): string[] {
  const bySequence = new Map(
    rig.receiver
      .callbacks()
      .filter(({ data }) => data.id === id)
      .map(({ data, type }) => [data.sequence, type]),
  );
  return [...bySequence].sort(([a], [b]) => a - b).map(([sequence, type]) => `${sequence} ${type}`);
}

it("F1: is paid in parts, each told when it is credited, and agrees with the ledger and the chain", async () => {
  const { anvil } = rig;
  const { id, address } = await open("A-1");
  const parts = [await pay(address, 5_000_000n, 1), await pay(address, 7_000_000n, 2)] as const;
  await anvil.mineBlock({ transactions: [parts[0]] });
  await anvil.mineBlock({ transactions: [parts[1]] });
  await rig.mineDeep();
  expect(await find(id)).toMatchObject({ status: "underpaid", paid: "12", remaining: "0.5", paidAt: null });

  await anvil.mineBlock({ transactions: [await pay(address, 500_000n, 3)] });
  await rig.mineDeep();
  expect(await find(id)).toMatchObject({
    status: "paid",
    paid: "12.5",
    late: "0",
    paidAt: expect.any(String),
    deposits: [
      { status: "unlocked", amount: "0.5" },
      { status: "unlocked", amount: "7" },
      { status: "unlocked", amount: "5" },
    ],
  });
  const told = toldOf(id);
  expect(told.at(-1)).toMatch(/order\.paid$/);
  // Two parts may have been credited by one settler: then they were one change.
  expect(["1 order.underpaid,2 order.paid", "1 order.underpaid,2 order.underpaid,3 order.paid"]).toContain(
    told.join(),
  );
  expect(await rig.balancesOf("A-1")).toEqual({ USDT: [0n, 12_500_000n] });
  await expectAgreement(rig, users);
});

it("F5, F6: falls back with a reorg after order.paid, and is paid and overpaid on the new branch", async () => {
  const { anvil, receiver } = rig;
  const { id, address } = await open("A-2");
  const first = await pay(address, 10_000_000n, 1);
  const second = await pay(address, 2_500_000n, 2);
  const more = await pay(address, 1_000_000n, 3);
  await anvil.mineBlock({ transactions: [first] });
  const point = await anvil.forkPoint();
  await anvil.mineBranch(point, [{ transactions: [second] }, ...empty(UNLOCK_DEPTH)]);
  await rig.quiet();
  expect((await find(id)).status).toBe("paid");

  // The other branch has not got the second payment yet.
  await anvil.mineBranch(point, empty(UNLOCK_DEPTH + 2));
  await rig.quiet();
  const fallen = await find(id);
  expect(fallen).toMatchObject({ status: "underpaid", paid: "10", remaining: "2.5", paidAt: null });
  expect(toldOf(id).at(-1)).toBe(`${fallen.sequence} order.reopened`);

  await anvil.mineBlock({ transactions: [second] });
  await rig.mineDeep();
  expect(toldOf(id).at(-1)).toBe(`${fallen.sequence + 1} order.paid`);
  await anvil.mineBlock({ transactions: [more] });
  await rig.mineDeep();
  expect(toldOf(id).slice(-4)).toEqual(
    ["order.paid", "order.reopened", "order.paid", "order.overpaid"].map(
      (type, n) => `${fallen.sequence - 1 + n} ${type}`,
    ),
  );
  expect(await find(id)).toMatchObject({ status: "overpaid", paid: "13.5" });
  // The feed has what the callbacks said, with their ids, and each order behind the deposit that changed it. It holds
  // events back while anything older is being written, in whichever database of the server.
  const feed = await waitFor(
    async () => {
      const { items } = (await rig.api.call<Feed>("GET", "/v1/events?limit=100")).body;
      return items.filter(({ data }) => data.id === id).length >= toldOf(id).length ? items : undefined;
    },
    { timeoutMs: 45_000, what: "the feed to have all of the order's events" },
  );
  const items = feed.filter(({ data }) => data.id === id);
  expect(items.map(({ type }) => type)).toEqual(toldOf(id).map((each) => each.replace(/^\d+ /, "")));
  for (const item of items) expect(receiver.callbacks().map((each) => each.id)).toContain(item.id);
  const paidAt = feed.findIndex(({ data, type }) => data.id === id && type === "order.paid");
  expect(feed[paidAt - 1]?.type).toBe("deposit.credited");
  const [, moved] = (await rig.depositsOf("A-2")).map(({ id: depositId }) => receiver.toldOf(depositId));
  expect(moved).toEqual(["pending", "credited", "unlocked", "reversed", "pending", "credited", "unlocked"]);
  await expectAgreement(rig, users);
});

it("F2, F3: counts neither what is in a block after the deadline nor another coin, and tells of both", async () => {
  const { anvil, receiver } = rig;
  const orders = [await open("A-3", "10m"), await open("A-4", "10m")] as const;
  const [inTime, late] = orders;
  await anvil.mineBlock({
    timestamp: deadlineOf(inTime),
    transactions: [
      await pay(inTime.address, 12_500_000n, 1),
      await anvil.sign({ from: anvil.account(2), to: late.address, valueWei: 10n ** 18n }),
    ],
  });
  await anvil.mineBlock({
    timestamp: deadlineOf(late) + 1,
    transactions: [await pay(late.address, 12_500_000n, 3)],
  });
  await rig.mineDeep();
  await receiver.untilTold(late.id, "expired", 45_000);
  await rig.quiet();
  expect(toldOf(inTime.id)).toEqual(["1 order.paid"]);
  expect(await find(late.id)).toMatchObject({ status: "expired", paid: "0", late: "12.5", paidAt: null });
  expect(toldOf(late.id).at(-1)).toMatch(/order\.expired$/);
  expect((await rig.depositsOf("A-4")).map(({ orderNo, currency }) => `${orderNo} ${currency}`)).toEqual([
    "A-4 ETH",
    "A-4 USDT",
  ]);
  await expectAgreement(rig, users);
});

it("F2: expires an order that nobody pays once the chain has passed its deadline", async () => {
  const { anvil, receiver } = rig;
  const order = await open("A-5", "1h");
  await anvil.mineBlock({ timestamp: deadlineOf(order) });
  await rig.caughtUp();
  expect((await find(order.id)).status).toBe("open");
  const running = `depositd_orders_running{chain_id="${anvil.chainId}",status="open"}`;
  const metrics = async () => (await rig.api.call<string>("GET", "/metrics")).body;
  expect(await metrics()).toContain(`${running} 1\n`);
  await anvil.mineBlock({ timestamp: deadlineOf(order) + 1 });
  await receiver.untilTold(order.id, "expired", 45_000);
  expect(toldOf(order.id)).toEqual(["1 order.expired"]);
  expect(await metrics()).not.toContain(running);
  await rig.mineDeep();
});
