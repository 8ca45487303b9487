import { createHash } from "node:crypto";
import { Script } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TemporaryError } from "../core/errors.ts";
import { checksumAddress } from "../core/hex.ts";
import { buildServer } from "../http/server.ts";
import { silentLogger } from "../runtime/logger.ts";
import type { TestApi } from "../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, CHAIN_ID, transferOf } from "../testing/factory.ts";
import { createOrderApi, type OrderApi } from "../testing/order-api.ts";
import { payerPages } from "./payer-pages.ts";

let db: TestDatabase;
let orders: OrderApi;
let api: TestApi;

beforeAll(async () => {
  db = await createTestDatabase();
  orders = await createOrderApi(db);
  api = orders.api;
});
afterAll(() => db.drop());

/** Without a key. */
const get = (path: string) => api.call("GET", path, { key: null });
const stateOf = async (id: string) => {
  const answer = await get(`/pay/${id}/state`);
  expect(answer.status).toBe(200);
  return answer.body as Record<string, unknown>;
};

describe("the payer's page", () => {
  test("shows how to pay to whoever has its link, and loads nothing from elsewhere", async () => {
    const order = await orders.opened("page");
    const { status, headers, text } = await get(`/pay/${order.id}`);
    expect([status, headers["content-type"], headers["cache-control"], headers["referrer-policy"]]).toEqual([
      200,
      "text/html; charset=utf-8",
      "no-store",
      "no-referrer",
    ]);
    for (const shown of ["Order page", "12.5 USDT", "on local (chain 31337)", order.address, "<svg"])
      expect(text).toContain(shown);
    expect(text).toContain(`href="${order.paymentUri.replace("&", "&amp;")}"`);
    expect(text).not.toMatch(/https?:|\ssrc=|<link|<iframe|<form|\son\w+=/);
    expect(new URL(order.pageUrl).pathname).toBe(`/pay/${order.id}`);
  });

  test("allows its own style and script by their hashes, and nothing else", async () => {
    const order = await orders.opened("policy");
    const { headers, text } = await get(`/pay/${order.id}`);
    const policy = String(headers["content-security-policy"]);
    const contentOf = (tag: string) =>
      [...text.matchAll(new RegExp(`<${tag}[^>]*>(.*?)</${tag}>`, "gs"))].map(([, content = ""]) => content);
    for (const tag of ["script", "style"]) {
      const contents = contentOf(tag);
      expect(contents).toHaveLength(1);
      const hash = createHash("sha256")
        .update(contents[0] ?? "")
        .digest("base64");
      expect(policy).toContain(`${tag}-src 'sha256-${hash}';`);
    }
    expect(() => new Script(contentOf("script")[0] ?? "")).not.toThrow();
    for (const part of [
      "default-src 'none'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
      expect(policy).toContain(part);
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
  });

  test("says nothing of the merchant, the user or other orders, and escapes what it says", async () => {
    const evil = `"'><script>alert(1)</script>&amp;`;
    await orders.opened("somebody else's order");
    const order = await orders.opened(evil, { userId: "alice@example.com", address: addressOf("evil") });
    await db.database.query("UPDATE chains SET name = $1 WHERE chain_id = $2", ["<b>chain</b>", CHAIN_ID]);
    try {
      const page = await get(`/pay/${order.id}`);
      const state = await get(`/pay/${order.id}/state`);
      for (const text of [page.text, state.text]) {
        for (const secret of [api.merchantId, "Shop", "alice", "somebody else"])
          expect(text).not.toContain(secret);
        expect(text).not.toContain("<script>alert");
        expect(text).not.toContain("<b>chain");
      }
      expect(page.text).toContain("Order &quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;</h1>");
      expect(state.text).not.toContain("alert");
    } finally {
      await db.database.query("UPDATE chains SET name = 'local' WHERE chain_id = $1", [CHAIN_ID]);
    }
  });

  test("is not there for an unknown order, without the API, or at another method", async () => {
    const order = await orders.opened("methods");
    for (const id of ["ord_none", order.id.slice(0, -1), `${order.id}0`, "page", "%00", "ord_'"]) {
      const page = await get(`/pay/${id}`);
      expect([page.status, page.headers["content-type"]]).toEqual([404, "text/html; charset=utf-8"]);
      expect(await get(`/pay/${id}/state`)).toMatchObject({ status: 404, body: { code: "not_found" } });
    }
    expect(await api.call("POST", `/pay/${order.id}`, { key: null })).toMatchObject({ status: 404 });
    const withoutApi = buildServer({ ...api.parts, servesApi: false });
    expect(await withoutApi.inject(`/pay/${order.id}`)).toMatchObject({ statusCode: 404 });
  });

  test("asks to wait while the database is away", async () => {
    const away = async () => {
      throw new TemporaryError("database_unreachable", "secret words of the database");
    };
    const [page] = payerPages({ database: { query: away }, logger: silentLogger, assetsOf: () => [] });
    const answer = await page?.answer({ id: "ord_1" });
    expect(answer).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
    expect(answer?.body).toContain("Do not pay twice");
    expect(answer?.body).not.toContain("secret words");
  });
});

describe("the state of an order", () => {
  test("follows a payment, and the page asks for no second one", async () => {
    const address = addressOf("followed");
    const order = await orders.opened("followed", { currency: "ETH", amount: "2", address });
    const before = await stateOf(order.id);
    expect(before).toEqual({
      phase: "waiting",
      message: "Waiting for your payment.",
      currency: "ETH",
      amount: "2",
      paid: "0",
      late: "0",
      pending: "0",
      seen: "0",
      confirmations: null,
      toPay: { amount: "2", uri: order.paymentUri },
      secondsLeft: expect.any(Number),
      page: expect.any(String),
    });
    expect((await get(`/pay/${order.id}`)).text).toContain(`data-page="${String(before["page"])}"`);
    await orders.chain.ingestNearlyDue(transferOf({ to: address, tx: "half" }));
    const half = await stateOf(order.id);
    expect(half).toMatchObject({
      phase: "underpaid",
      pending: "1",
      confirmations: { have: 2, need: 3 },
      toPay: { amount: "1" },
    });
    expect(half["page"]).not.toBe(before["page"]);
    // As if the other half had come too.
    await db.database.query("UPDATE deposits SET amount = amount * 2 WHERE to_address = $1", [
      Buffer.from(address.slice(2), "hex"),
    ]);
    const whole = await stateOf(order.id);
    expect(whole).toMatchObject({ phase: "confirming", pending: "2", toPay: null });
    const { text } = await get(`/pay/${order.id}`);
    for (const wayToPay of ["<svg", "ethereum:", checksumAddress(address)])
      expect(text).not.toContain(wayToPay);
    expect(text).toContain("Do not pay again");
  });

  test("is about the order's own asset, whatever else comes", async () => {
    const order = await orders.opened("own asset");
    await db.database.query("UPDATE deposits SET to_address = $1", [
      Buffer.from(addressOf("order own asset").slice(2), "hex"),
    ]);
    expect(await stateOf(order.id)).toMatchObject({
      phase: "waiting",
      pending: "0",
      toPay: { amount: "12.5" },
    });
  });

  test("names no amount once the config lists the currency no more", async () => {
    const order = await orders.opened("delisted");
    const before = orders.assetsOf;
    orders.assetsOf = () => [];
    try {
      expect(await stateOf(order.id)).toMatchObject({ toPay: null });
    } finally {
      orders.assetsOf = before;
    }
  });
});
