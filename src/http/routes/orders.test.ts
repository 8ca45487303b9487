import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TemporaryError } from "../../core/errors.ts";
import { checksumAddress } from "../../core/hex.ts";
import { parseExtendedKey } from "../../merchants/extended-key.ts";
import { setExtendedKey } from "../../merchants/extended-key-store.ts";
import type { TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf, CHAIN_ID, USDT } from "../../testing/factory.ts";
import { createOrderApi, type OrderApi, OTHER_CHAIN } from "../../testing/order-api.ts";
import { walletAddress, walletKey } from "../../testing/wallet.ts";
import { answeredOrderShape, orderDetailShape, pageOf } from "../answers.ts";

let db: TestDatabase;
let orders: OrderApi;
let api: TestApi;
let open: OrderApi["open"];
let opened: OrderApi["opened"];

beforeAll(async () => {
  db = await createTestDatabase();
  orders = await createOrderApi(db);
  ({ api, open, opened } = orders);
});
afterAll(() => db.drop());

const show = async (id: string) => {
  const answer = await api.call("GET", `/v1/orders/${id}`);
  expect(answer.status).toBe(200);
  return orderDetailShape.parse(answer.body);
};
const addressRow = async (address: string) =>
  (await api.call("GET", `/v1/addresses/${address}`)).status === 200;

describe("opening an order", () => {
  test("answers its address, how to pay it and when it ends", async () => {
    const order = await opened("A-1001", { expiresIn: "30m", userId: "alice" });
    const address = checksumAddress(addressOf("order A-1001"));
    const token = checksumAddress(USDT);
    expect(order).toEqual({
      id: expect.stringMatching(/^ord_[0-9a-f]{40}$/),
      sequence: 0,
      status: "open",
      merchantId: api.merchantId,
      userId: "alice",
      orderNo: "A-1001",
      chainId: CHAIN_ID,
      currency: "USDT",
      token,
      decimals: 6,
      amount: "12.5",
      amountBaseUnits: "12500000",
      address,
      paymentUri: `ethereum:${token}@${CHAIN_ID}/transfer?address=${address}&uint256=12500000`,
      paid: "0",
      paidBaseUnits: "0",
      late: "0",
      lateBaseUnits: "0",
      remaining: "12.5",
      remainingBaseUnits: "12500000",
      expiresAt: new Date(Date.parse(order.createdAt) + 1_800_000).toISOString(),
      paidAt: null,
      createdAt: order.createdAt,
      pageUrl: `http://127.0.0.1:8420/pay/${order.id}`,
    });
    expect(await show(order.id)).toEqual({
      ...order,
      pending: "0",
      pendingBaseUnits: "0",
      deposits: [],
      seenPayments: [],
    });
    expect((await api.call("GET", `/v1/addresses/${address}`)).body).toMatchObject({ userId: "alice" });
  });

  test("takes the native coin, and without a user and a time the order's number and an hour", async () => {
    const order = await opened("plain", { currency: "ETH", amount: "0.5" });
    expect(order).toMatchObject({ userId: "plain", token: null, amountBaseUnits: "500000000000000000" });
    expect(order.paymentUri).toBe(`ethereum:${order.address}@${CHAIN_ID}?value=500000000000000000`);
    expect(Date.parse(order.expiresAt) - Date.parse(order.createdAt)).toBe(3_600_000);
  });

  test.each([
    [1, 1],
    ["90s", 90],
    ["1.5m", 90],
    ["30d", 2_592_000],
    [2_592_000, 2_592_000],
  ])("takes %j as the time until it expires", async (expiresIn, seconds) => {
    const order = await opened(`lives ${JSON.stringify(expiresIn)}`, { expiresIn });
    expect(Date.parse(order.expiresAt) - Date.parse(order.createdAt)).toBe(seconds * 1000);
  });

  test.each([0, -1, 1.5, 2_592_001, "0s", "500ms", "1.5s", "31d", "30", "", "soon", null, true])(
    "refuses to expire in %j",
    async (expiresIn) => {
      const refused = await open("never", { expiresIn });
      expect(refused).toMatchObject({ status: 400, body: { code: "invalid_request" } });
      expect(JSON.stringify(refused.body)).toContain("whole seconds");
    },
  );

  test.each([
    ["no number", { orderNo: undefined }, 400, "invalid_request", "orderNo"],
    ["an empty number", { orderNo: "" }, 400, "invalid_request", "1 to 200 characters"],
    ["a number that is too long", { orderNo: "x".repeat(201) }, 400, "invalid_request", "1 to 200"],
    ["a number with NUL in it", { orderNo: "a\u0000" }, 400, "invalid_request", "without control"],
    ["a chain that is not followed", { chainId: 7 }, 422, "asset_not_listed", "Chain 7 is not followed"],
    ["an unlisted currency", { currency: "DOGE" }, 422, "asset_not_listed", "it lists ETH, USDT, TWICE"],
    ["another case", { currency: "usdt" }, 422, "asset_not_listed", "does not list usdt"],
    ["the coin as a token", { currency: "ETH", token: USDT }, 422, "asset_not_listed", "at this token"],
    ["an ambiguous currency", { currency: "TWICE" }, 422, "asset_not_listed", "give token as well"],
    ["no amount", { amount: "0" }, 422, "invalid_amount", "more than zero"],
    ["a negative amount", { amount: "-1" }, 422, "invalid_amount", "decimal number"],
    ["too many digits", { amount: "1.0000001" }, 422, "invalid_amount", "6 digits after the point"],
    ["more than there can be", { amount: "9".repeat(78) }, 422, "invalid_amount", "2^256-1"],
    ["less than counts", { amount: "0.999999" }, 422, "invalid_amount", "below the minimum of USDT"],
    ["a number as amount", { amount: 12.5 }, 400, "invalid_request", "amount"],
    ["no address", { address: undefined }, 400, "address_required", "address is missing"],
    ["a broken address", { address: "0x12" }, 422, "invalid_address", "address"],
    ["an unknown key", { price: "1" }, 400, "invalid_request", "is not known here"],
  ])("refuses %s, and keeps nothing", async (_what, given, status, code, detail) => {
    const address = addressOf("refused order");
    const refused = await open("refused", { address, ...given });
    expect(refused).toMatchObject({ status, body: { code } });
    expect(refused.headers["content-type"]).toContain("application/problem+json");
    expect((refused.body as { detail: string }).detail).toContain(detail);
    expect(await addressRow(address)).toBe(false);
    expect((await api.call("GET", "/v1/orders?orderNo=refused")).body).toMatchObject({ items: [] });
  });

  test("takes exactly the minimum, and one of two tokens that share a currency", async () => {
    expect(await opened("minimum", { amount: "1" })).toMatchObject({ amountBaseUnits: "1000000" });
    const second = await opened("second", { currency: "TWICE", token: addressOf("twice 2") });
    expect(second).toMatchObject({ token: checksumAddress(addressOf("twice 2")), amountBaseUnits: "1250" });
  });

  test("refuses an address that is assigned already, be it to the same user or to another order", async () => {
    const body = { userId: "alice", address: addressOf("alice's own") };
    await api.call("POST", "/v1/addresses", { body });
    await opened("first owner");
    for (const address of [body.address, addressOf("order first owner")]) {
      const refused = await open("wants another's", { address, userId: "alice" });
      expect(refused).toMatchObject({ status: 409, body: { code: "address_taken" } });
    }
    expect((await api.call("GET", "/v1/orders?orderNo=wants another's")).body).toMatchObject({ items: [] });
  });

  test("waits for the config of a daemon that only starts", async () => {
    const before = orders.assetsOf;
    orders.assetsOf = () => {
      throw new TemporaryError("database_unreachable", "not yet");
    };
    try {
      expect(await open("early")).toMatchObject({ status: 503 });
    } finally {
      orders.assetsOf = before;
    }
  });
});

describe("the same orderNo again", () => {
  test("F4: is the same order, however it is written, also when the config lists its currency no more", async () => {
    const first = await open("again", { expiresIn: 1800 });
    const same = { expiresIn: "30m", amount: "12.500000", userId: "again", address: undefined, token: USDT };
    const before = orders.assetsOf;
    orders.assetsOf = () => [];
    try {
      const second = await open("again", same);
      expect([second.status, second.text]).toEqual([200, first.text]);
    } finally {
      orders.assetsOf = before;
    }
  });

  test.each([
    ["amount", { amount: "12.500001" }],
    ["currency", { currency: "ETH" }],
    ["chainId", { chainId: OTHER_CHAIN }],
    ["userId", { userId: "somebody else" }],
    ["expiresIn", { expiresIn: 3_601 }],
    ["address", { address: addressOf("yet another") }],
    ["token", { token: null }],
    ["amount, another expiresIn", { amount: "1", expiresIn: 5 }],
  ])("F4: is refused with another %s, and changes nothing", async (what, given) => {
    const first = await open("conflict");
    const refused = await open("conflict", given);
    expect(refused).toMatchObject({
      status: 409,
      body: { code: "order_conflict", detail: `There is an order of this number with another ${what}` },
    });
    expect((await open("conflict")).text).toBe(first.text);
    expect(await addressRow(addressOf("yet another"))).toBe(false);
  });

  test("F4: sent many times at once is one order, and the others are told so", async () => {
    const answers = await Promise.all(Array.from({ length: 24 }, () => open("crowd")));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(23).fill(200), 201]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  test("F4: sent at once with other amounts and addresses leaves one order, one address and conflicts", async () => {
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, n) =>
        open("race", { amount: String(n + 1), address: addressOf(`race ${n}`) }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(23).fill(409)]);
    const codes = answers.flatMap(({ status, body }) =>
      status === 409 ? [(body as { code: string }).code] : [],
    );
    expect(new Set(codes)).toEqual(new Set(["order_conflict"]));
    const [row] = await db.database.query<{ count: number }>(
      "SELECT count(*)::integer AS count FROM watched_addresses WHERE order_no = 'race'",
    );
    expect(row?.count).toBe(1);
  });

  test("F4: of another merchant is another order", async () => {
    const mine = await opened("shared number");
    const { key } = await api.addMerchant("Next door");
    const theirs = await open("shared number", { address: addressOf("next door") }, { key });
    expect(theirs.status).toBe(201);
    expect(answeredOrderShape.parse(theirs.body).id).not.toBe(mine.id);
  });

  test("is answered with the first answer under an Idempotency-Key, and refused with another body", async () => {
    const headers = { "idempotency-key": "order-once" };
    const first = await open("once", {}, { headers });
    const again = await open("once", {}, { headers });
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(await open("once", { amount: "13" }, { headers })).toMatchObject({
      status: 409,
      body: { code: "idempotency_conflict" },
    });
  });
});

describe("with an extended public key", () => {
  let key: string;
  beforeAll(async () => {
    const wallet = await api.addMerchant("Wallet");
    key = wallet.key;
    const account = parseExtendedKey(walletKey().public);
    await db.database.transaction((tx) => setExtendedKey(tx, wallet.id, account, 0));
  });
  const next = (orderNo: string, given: object = {}) =>
    open(orderNo, { address: undefined, ...given }, { key });
  const addressIn = ({ body }: { readonly body: unknown }) =>
    answeredOrderShape.parse(body).address.toLowerCase();

  test("each order has the next address, and the same order again takes none", async () => {
    const first = await next("w-1");
    expect([first.status, addressIn(first)]).toEqual([201, walletAddress(0)]);
    const again = await next("w-1");
    expect([again.status, again.text]).toEqual([200, first.text]);
    expect(addressIn(await next("w-2", { userId: "w-1" }))).toBe(walletAddress(1));
    expect(addressIn(await open("w-3", {}, { key }))).toBe(addressOf("order w-3"));
  });

  test("F4: one number at once takes one address, many numbers at once one each, without a gap", async () => {
    const crowd = await Promise.all(Array.from({ length: 16 }, () => next("w-crowd")));
    expect(crowd.map(({ status }) => status).sort()).toEqual([...Array(15).fill(200), 201]);
    expect(new Set(crowd.map(addressIn))).toEqual(new Set([walletAddress(2)]));
    const many = await Promise.all(Array.from({ length: 16 }, (_, n) => next(`w-many ${n}`)));
    expect(many.map(addressIn).sort()).toEqual(
      Array.from({ length: 16 }, (_, n) => walletAddress(n + 3)).sort(),
    );
  });

  test("an order that is refused takes none", async () => {
    expect(await next("w-refused", { amount: "0.5" })).toMatchObject({ status: 422 });
    expect(await next("w-refused", { currency: "DOGE" })).toMatchObject({ status: 422 });
    expect(addressIn(await next("w-next"))).toBe(walletAddress(19));
  });
});

describe("orders are listed", () => {
  const list = async (query: string, key = api.key) => {
    const answer = await api.call("GET", `/v1/orders${query}`, { key });
    expect(answer.status).toBe(200);
    return pageOf(answeredOrderShape, "OrderPage").parse(answer.body);
  };
  const numbersOf = async (query: string) => (await list(query)).items.map(({ orderNo }) => orderNo);

  test("by their number, status, user and address", async () => {
    const order = await opened("find me", { userId: "finder" });
    expect(await list("?orderNo=find me")).toEqual({ items: [order], nextCursor: null });
    expect(await list("?orderNo=nobody's")).toEqual({ items: [], nextCursor: null });
    expect(await numbersOf("?userId=finder")).toEqual(["find me"]);
    expect(await numbersOf(`?address=${order.address}`)).toEqual(["find me"]);
    expect(await numbersOf("?userId=finder&status=open")).toEqual(["find me"]);
    expect(await numbersOf("?userId=finder&status=paid")).toEqual([]);
    expect(await api.call("GET", "/v1/orders?status=pending")).toMatchObject({ status: 400 });
  });

  test("newest first, from page to page without a gap or a repeat", async () => {
    const all = (await list("?limit=200")).items;
    expect(all.length).toBeGreaterThan(10);
    expect(all.map(({ createdAt }) => createdAt)).toEqual(
      all
        .map(({ createdAt }) => createdAt)
        .toSorted()
        .toReversed(),
    );
    const paged: unknown[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: Awaited<ReturnType<typeof list>> = await list(
        `?limit=3${cursor === "" ? "" : `&cursor=${cursor}`}`,
      );
      paged.push(...page.items);
      cursor = page.nextCursor;
    }
    expect(paged).toEqual(all);
  });

  test("to their own merchant alone", async () => {
    const { items } = await list("?orderNo=find me");
    const { key } = await api.addMerchant("Curious");
    expect(await list("", key)).toEqual({ items: [], nextCursor: null });
    expect(await list("?orderNo=find me", key)).toEqual({ items: [], nextCursor: null });
    expect(await api.call("GET", `/v1/orders/${items[0]?.id}`, { key })).toMatchObject({
      status: 404,
      body: { code: "not_found" },
    });
    expect(await api.call("GET", "/v1/orders/ord_none")).toMatchObject({ status: 404 });
    expect(await api.call("GET", "/v1/orders", { key: null })).toMatchObject({ status: 401 });
  });
});
