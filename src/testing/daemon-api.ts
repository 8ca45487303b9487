/** A client of the daemon's HTTP API, typed by what its users are promised and by nothing in `src/http`. */
import { request } from "undici";

export interface DepositView {
  readonly id: string;
  readonly sequence: number;
  readonly status: string;
  readonly reason: string | null;
  readonly merchantId: string;
  readonly userId: string;
  readonly orderNo: string | null;
  readonly chainId: number;
  readonly currency: string | null;
  readonly token: string | null;
  readonly decimals: number | null;
  readonly amount: string | null;
  readonly amountBaseUnits: string;
  readonly amountFrom: string;
  readonly eventAmount: string | null;
  readonly balanceNodes: number | null;
  readonly from: string;
  readonly to: string;
  readonly sender: string | null;
  readonly txHash: string | null;
  readonly source: string;
  readonly blockNumber: number;
  readonly blockHash: string;
  readonly blockTime: string;
  readonly verification: string;
  readonly confirmations: number;
  readonly creditAt: string | null;
  readonly unlockAt: string | null;
  readonly detectedAt: string;
  readonly creditedAt: string | null;
  readonly unlockedAt: string | null;
}

export interface BalancesView {
  readonly userId: string;
  readonly assets: readonly {
    readonly chainId: number;
    readonly currency: string;
    readonly token: string | null;
    readonly decimals: number;
    readonly available: string;
    readonly availableBaseUnits: string;
    readonly locked: string;
    readonly lockedBaseUnits: string;
  }[];
  readonly currencies: readonly {
    readonly currency: string;
    readonly available: string;
    readonly locked: string;
  }[];
}

export interface EndpointView {
  readonly id: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly status: string;
  readonly secret: string;
}

export interface ApiAnswer<Body> {
  readonly status: number;
  readonly body: Body;
  readonly contentType: string;
}

export interface DaemonApi {
  /** Any request; never throws for a status. */
  call<Body = unknown>(method: "GET" | "POST", path: string, body?: unknown): Promise<ApiAnswer<Body>>;
  registerAddress(userId: string, address: string): Promise<void>;
  createEndpoint(url: string, events?: readonly string[]): Promise<EndpointView>;
  /** All pages. */
  deposits(filter?: Readonly<Record<string, string>>): Promise<DepositView[]>;
  deposit(
    id: string,
  ): Promise<DepositView & { readonly history?: readonly unknown[]; readonly waitsFor?: string | null }>;
  balances(userId: string): Promise<BalancesView>;
}

const PAGE = 100;

/** @param baseUrl asked anew for each request: a daemon that was restarted listens elsewhere */
export function createDaemonApi(baseUrl: () => string, apiKey: () => string | undefined): DaemonApi {
  const call = async <Body>(method: "GET" | "POST", path: string, body?: unknown) => {
    const key = apiKey();
    const response = await request(baseUrl() + path, {
      method,
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.body.text();
    const contentType = String(response.headers["content-type"] ?? "");
    const parsed = contentType.includes("json") ? (JSON.parse(text) as Body) : (text as Body);
    return { status: response.statusCode, body: parsed, contentType };
  };

  const get = async <Body>(path: string): Promise<Body> =>
    expectSuccess("GET", path, await call<Body>("GET", path));
  const post = async <Body>(path: string, body: unknown): Promise<Body> =>
    expectSuccess("POST", path, await call<Body>("POST", path, body));

  const deposits = async (filter: Readonly<Record<string, string>> = {}) => {
    const items: DepositView[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const query = new URLSearchParams({
        ...filter,
        limit: String(PAGE),
        ...(cursor === undefined ? {} : { cursor }),
      });
      const page = await get<{ items: DepositView[]; nextCursor: string | null }>(`/v1/deposits?${query}`);
      items.push(...page.items);
      cursor = page.nextCursor;
    }
    return items;
  };

  return {
    call,
    registerAddress: async (userId, address) => {
      await post("/v1/addresses", { userId, address });
    },
    createEndpoint: (url, events) =>
      post("/v1/endpoints", { url, ...(events === undefined ? {} : { events }) }),
    deposits,
    deposit: (id) => get(`/v1/deposits/${id}`),
    balances: (userId) => get(`/v1/users/${encodeURIComponent(userId)}/balances`),
  };
}

function expectSuccess<Body>(method: string, path: string, answer: ApiAnswer<Body>): Body {
  if (answer.status >= 200 && answer.status < 300) return answer.body;
  throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
}
