import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DepositdError } from "../core/errors.ts";
import { DEFAULT_EVENT_TYPES } from "../core/event.ts";
import { systemRandom } from "../runtime/random.ts";
import { testSecretBox } from "../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { formatEndpointSecret } from "./endpoint-secret.ts";
import {
  createEndpoint,
  deleteEndpoint,
  getEndpoint,
  listEndpoints,
  updateEndpoint,
} from "./endpoint-store.ts";

const PUBLIC_ONLY = { allowPrivateTargets: false, firstDelayMs: 0 };
let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
  await test.database.query("INSERT INTO merchants (id, name) VALUES ('mer_a', 'A'), ('mer_b', 'B')");
});
afterAll(() => test.drop());

const parts = () => ({ database: test.database, secretBox: testSecretBox, random: systemRandom });

function create(merchantId: string, url = "https://example.com/hook", events?: readonly string[]) {
  return createEndpoint(
    parts(),
    { merchantId, url, ...(events === undefined ? {} : { events }) },
    PUBLIC_ONLY,
  );
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "taken",
    (error: unknown) => (error instanceof DepositdError ? error.code : String(error)),
  );
}

describe("endpoints", () => {
  it("shows the secret once, and keeps it sealed", async () => {
    const { endpoint, secret } = await create("mer_a");
    expect(endpoint).toMatchObject({ merchantId: "mer_a", status: "enabled", disabledReason: null });
    expect(endpoint.id).toMatch(/^end_[0-9a-f]{20}$/);
    expect(endpoint.events).toEqual(DEFAULT_EVENT_TYPES);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);

    const [row] = await test.database.query<{ secret: Buffer }>(
      "SELECT secret FROM endpoints WHERE id = $1",
      [endpoint.id],
    );
    const plain = Buffer.from((secret ?? "").slice("whsec_".length), "base64");
    expect(row?.secret.includes(plain)).toBe(false);
    expect(
      formatEndpointSecret({ scheme: "v1", bytes: testSecretBox.open(row?.secret ?? Buffer.alloc(0)) }),
    ).toBe(secret);
    expect(JSON.stringify(await getEndpoint(test.database, "mer_a", endpoint.id))).not.toContain("whsec");
  });

  it("refuses URLs that callbacks may not go to, and unknown event types", async () => {
    expect(await codeOf(create("mer_a", "http://example.com/"))).toBe("invalid_url");
    expect(await codeOf(create("mer_a", "https://169.254.169.254/"))).toBe("invalid_url");
    expect(await codeOf(create("mer_a", "https://example.com/", ["deposit.credited", "deposit.lost"]))).toBe(
      "invalid_request",
    );
    expect(await codeOf(create("mer_a", "https://example.com/", []))).toBe("invalid_request");
  });

  it("takes the named event types, each once", async () => {
    const { endpoint } = await create("mer_a", "https://example.com/", [
      "deposit.unlocked",
      "deposit.credited",
      "deposit.credited",
    ]);
    expect(endpoint.events).toEqual(["deposit.credited", "deposit.unlocked"]);
  });

  it("changes what is named and leaves the rest", async () => {
    const { endpoint } = await create("mer_a");
    const change = (changes: Parameters<typeof updateEndpoint>[3]) =>
      updateEndpoint(parts(), "mer_a", endpoint.id, changes, PUBLIC_ONLY);
    expect(await change({ status: "disabled" })).toMatchObject({
      status: "disabled",
      disabledReason: "by_merchant",
      url: endpoint.url,
    });
    expect(await change({ url: "https://example.org/" })).toMatchObject({
      status: "disabled",
      url: "https://example.org/",
    });
    expect(await change({ status: "enabled" })).toMatchObject({ status: "enabled", disabledReason: null });
    expect(await change({ events: ["endpoint.test"] })).toMatchObject({
      events: ["endpoint.test"],
      url: "https://example.org/",
    });
    expect(await change({})).toMatchObject({ events: ["endpoint.test"] });
    expect(await codeOf(change({ url: "https://localhost.:99999/" }))).toBe("invalid_url");
  });

  it("keeps merchants apart, and forgets the deleted", async () => {
    const mine = (await create("mer_b")).endpoint;
    expect(await codeOf(getEndpoint(test.database, "mer_a", mine.id))).toBe("not_found");
    expect(await codeOf(updateEndpoint(parts(), "mer_a", mine.id, { status: "disabled" }, PUBLIC_ONLY))).toBe(
      "not_found",
    );
    expect(await codeOf(deleteEndpoint(test.database, "mer_a", mine.id))).toBe("not_found");
    expect(await listEndpoints(test.database, "mer_b")).toEqual([mine]);

    await deleteEndpoint(test.database, "mer_b", mine.id);
    expect(await listEndpoints(test.database, "mer_b")).toEqual([]);
    expect(await codeOf(getEndpoint(test.database, "mer_b", mine.id))).toBe("not_found");
    expect(await codeOf(deleteEndpoint(test.database, "mer_b", mine.id))).toBe("not_found");
  });
});
