/** The daemon's HTTP API as a merchant's program uses it: plain `fetch`, an API key, JSON. */
import { randomUUID } from "node:crypto";
import type { Address, Hash } from "../../src/core/hex.ts";
import { waitFor } from "../../src/testing/wait-for.ts";

/** The fields of a deposit that the demo looks at; callbacks carry the same. */
export interface DepositView {
  readonly id: string;
  readonly sequence: number;
  readonly status: string;
  readonly reason: string | null;
  readonly userId: string;
  readonly currency: string | null;
  readonly amount: string | null;
  readonly amountBaseUnits: string;
  readonly txHash: Hash;
  readonly source: string;
  readonly blockNumber: number;
  readonly confirmations: number;
  readonly creditAt: string | null;
  readonly unlockAt: string | null;
}

export interface AssetBalanceView {
  readonly currency: string;
  readonly availableBaseUnits: string;
  readonly lockedBaseUnits: string;
}

export interface Api {
  assignAddress(userId: string, address: Address): Promise<void>;
  /** Answers the endpoint's secret. */
  createEndpoint(url: string, events: readonly string[]): Promise<string>;
  /** All of them, oldest first. */
  listDeposits(query?: Readonly<Record<string, string>>): Promise<DepositView[]>;
  balances(userId: string): Promise<readonly AssetBalanceView[]>;
}

/** The daemon may be killed at any moment of the demo; it is back within this. */
const AWAY_TIMEOUT_MS = 60_000;

export function createApi(url: string, apiKey: string): Api {
  const ask = async <Answer>(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> => {
    const request: RequestInit = { method, headers: { authorization: `Bearer ${apiKey}` } };
    if (body !== undefined) {
      request.headers = {
        ...request.headers,
        "content-type": "application/json",
        // The same again after a lost answer does nothing twice.
        "idempotency-key": randomUUID(),
      };
      request.body = JSON.stringify(body);
    }
    const response = await waitFor(() => fetch(url + path, request), {
      timeoutMs: AWAY_TIMEOUT_MS,
      what: `an answer to ${method} ${path}`,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return JSON.parse(text) as Answer;
  };

  return {
    assignAddress: async (userId, address) => {
      await ask("POST", "/v1/addresses", { userId, address });
    },
    createEndpoint: async (endpointUrl, events) =>
      (await ask<{ secret: string }>("POST", "/v1/endpoints", { url: endpointUrl, events })).secret,
    listDeposits: async (query = {}) => {
      const found: DepositView[] = [];
      let cursor: string | null = null;
      do {
        const parameters = new URLSearchParams({
          ...query,
          limit: "100",
          ...(cursor === null ? {} : { cursor }),
        });
        const page: { items: DepositView[]; nextCursor: string | null } = await ask(
          "GET",
          `/v1/deposits?${parameters}`,
        );
        found.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor !== null);
      return found.sort((a, b) => a.blockNumber - b.blockNumber || a.id.localeCompare(b.id));
    },
    balances: async (userId) =>
      (await ask<{ assets: AssetBalanceView[] }>("GET", `/v1/users/${encodeURIComponent(userId)}/balances`))
        .assets,
  };
}
