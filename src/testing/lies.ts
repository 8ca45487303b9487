/** What a node may do wrong, one function for each: handed to `NodeProxy.lie`. */
import { systemClock } from "../runtime/clock.ts";

export type RpcBody = { [name: string]: unknown };

/** One call that the proxy was asked. */
export interface ProxiedCall {
  readonly method: string;
  readonly params: readonly unknown[];
  readonly id: unknown;
  /** Asks the node, with other parts of the body if they are given. */
  forward(changed?: { method?: string; params?: readonly unknown[] }): Promise<RpcBody>;
}

export type Reply =
  | { readonly status: number; readonly body: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly text: string; readonly headers?: Readonly<Record<string, string>> }
  /** Never answered; the connection stays open. */
  | "hang"
  /** The connection is cut. */
  | "reset";

export type Lie = (call: ProxiedCall) => Promise<Reply>;

type Receipt = { logs: unknown[] } & RpcBody;

export const hang = (): Lie => async () => "hang";

export const reset = (): Lie => async () => "reset";

/** Answers late. */
export const delay =
  (ms: number): Lie =>
  async (call) => {
    await systemClock.sleep(ms);
    return truth(call);
  };

/** `result: null`, whatever was asked. */
export const nothing = (): Lie => async (call) => resultOf(call, null);

/** `result: []`, as a node that has lost its logs or receipts answers. */
export const emptyList = (): Lie => async (call) => resultOf(call, []);

/** Any other result in place of the true one. */
export const result =
  (value: unknown): Lie =>
  async (call) =>
    resultOf(call, value);

/** The true result after a change, for lies that only one test needs. */
export const changed =
  (change: (result: unknown) => unknown): Lie =>
  async (call) => {
    const body = await call.forward();
    return { status: 200, body: { ...body, result: change(body["result"]) } };
  };

/** As a fork that adds to the header is told to a program that does not know it: a field by another name. */
export const unknownField = (from = 0n): Lie =>
  changed((block) => {
    const fields = block as RpcBody | null;
    if (fields === null || BigInt(String(fields["number"])) < from) return fields;
    const { requestsHash, ...rest } = fields;
    return { ...rest, futureRoot: requestsHash };
  });

/** Receipts of the right block, each without its logs. */
export const emptyLogs = (): Lie =>
  changed((receipts) => (receipts as Receipt[]).map((receipt) => ({ ...receipt, logs: [] })));

/** Leaves out one log of the block and counts the others anew, as if it had never been. */
export const dropLog = (logIndex: number): Lie =>
  changed((receipts) => {
    let index = 0;
    return (receipts as Receipt[]).map((receipt) => {
      const logs = (receipt.logs as RpcBody[]).filter((log) => Number(log["logIndex"]) !== logIndex);
      return { ...receipt, logs: logs.map((log) => ({ ...log, logIndex: `0x${(index++).toString(16)}` })) };
    });
  });

/** Calls a transaction, in whatever is told of it, by another hash. */
export const rename = (hash: string, other: string): Lie =>
  changed((answer) => JSON.parse(JSON.stringify(answer).replaceAll(hash, other)));

/** Adds a log that nobody emitted to the last of the block's receipts that has one. */
export const inventLog = (log: {
  readonly address: string;
  readonly topics: readonly string[];
  readonly data: string;
}): Lie =>
  changed((receipts) => {
    const list = receipts as Receipt[];
    const at = list.findLastIndex((receipt) => receipt.logs.length > 0);
    const last = list[at]?.logs.at(-1) as RpcBody | undefined;
    if (last === undefined) return receipts;
    const logIndex = `0x${(Number(last["logIndex"]) + 1).toString(16)}`;
    const added = { ...last, ...log, logIndex };
    return list.map((receipt, index) =>
      index === at ? { ...receipt, logs: [...receipt.logs, added] } : receipt,
    );
  });

/** Says of every transaction of a whole block that it moved this much more. */
export const inventValue = (moreWei: bigint): Lie =>
  changed((block) => {
    const whole = block as { transactions: RpcBody[] } & RpcBody;
    const transactions = whole.transactions.map((transaction) => ({
      ...transaction,
      value: `0x${(BigInt(String(transaction["value"])) + moreWei).toString(16)}`,
    }));
    return { ...whole, transactions };
  });

/** The head is so many blocks further than it is, and nobody has the blocks between. */
export const jumpAhead =
  (blocks: number): Lie =>
  async (call) => {
    const body = await call.forward();
    const header = body["result"] as RpcBody | null;
    if (call.params[0] !== "latest" || header === null) return { status: 200, body };
    const number = `0x${(Number(header["number"]) + blocks).toString(16)}`;
    return resultOf(call, {
      ...header,
      number,
      hash: `0x${"5".repeat(64)}`,
      parentHash: `0x${"6".repeat(64)}`,
    });
  };

/** Answers for another block than it was asked for, e.g. one of another branch. */
export const aboutBlock =
  (hash: string): Lie =>
  async (call) => {
    const [, ...rest] = call.params;
    return { status: 200, body: await call.forward({ params: [hash, ...rest] }) };
  };

/** Knows nothing of the newest blocks, by number or as `latest`. */
export const lag =
  (blocks: number): Lie =>
  async (call) => {
    const { result: headHex } = await call.forward({ method: "eth_blockNumber", params: [] });
    const head = Number(headHex) - blocks;
    if (call.method === "eth_blockNumber") return resultOf(call, `0x${head.toString(16)}`);
    if (call.method !== "eth_getBlockByNumber") return truth(call);
    const [block, ...rest] = call.params;
    if (block === "latest") {
      return { status: 200, body: await call.forward({ params: [`0x${head.toString(16)}`, ...rest] }) };
    }
    return Number(block) > head ? resultOf(call, null) : truth(call);
  };

/** Ends in the middle of the text, with a status of 200. */
export const truncate = (): Lie => async (call) => {
  const text = JSON.stringify(await call.forward());
  return { status: 200, text: text.slice(0, Math.floor(text.length / 2)) };
};

/** What a gateway says when the node behind it is gone. */
export const badGateway = (): Lie => async () => ({
  status: 502,
  text: "<html><body><h1>502 Bad Gateway</h1></body></html>",
  headers: { "content-type": "text/html" },
});

export const tooManyRequests =
  (retryAfterSeconds?: number): Lie =>
  async () => ({
    status: 429,
    text: "Too Many Requests",
    ...(retryAfterSeconds === undefined ? {} : { headers: { "retry-after": String(retryAfterSeconds) } }),
  });

/** A JSON-RPC error under HTTP 200. */
export const rpcError =
  (code: number, message: string): Lie =>
  async (call) => ({
    status: 200,
    body: { jsonrpc: "2.0", id: call.id, error: { code, message } },
  });

/** A JSON-RPC error that says in `data` what is wrong. */
export const rpcErrorWithData =
  (code: number, message: string, data: unknown): Lie =>
  async (call) => ({
    status: 200,
    body: { jsonrpc: "2.0", id: call.id, error: { code, message, data } },
  });

/** As a node that does not offer the method answers. */
export const methodMissing = (): Lie => async (call) =>
  rpcError(-32601, `the method ${call.method} does not exist/is not available`)(call);

/** Is of another chain. */
export const otherChain =
  (chainId: number): Lie =>
  async (call) =>
    resultOf(call, `0x${chainId.toString(16)}`);

/** The answer to a question that nobody asked. */
export const wrongId = (): Lie => async (call) => ({
  status: 200,
  body: { ...(await call.forward()), id: 424242 },
});

/** Within a batch: the item is left out. Alone: nothing but an empty batch. */
export const missingItem = (): Lie => async () => ({ status: 200, text: "[]" });

export async function truth(call: ProxiedCall): Promise<Reply> {
  return { status: 200, body: await call.forward() };
}

function resultOf(call: ProxiedCall, value: unknown): Reply {
  return { status: 200, body: { jsonrpc: "2.0", id: call.id, result: value } };
}

/** Refuses a range of logs that is wider than so many blocks, in the words of a provider. */
export const capRange =
  (mostBlocks: number, refusal: Lie): Lie =>
  async (call) => {
    const [filter] = call.params as [{ fromBlock: string; toBlock: string }];
    const blocks = Number(filter.toBlock) - Number(filter.fromBlock) + 1;
    return blocks > mostBlocks ? refusal(call) : truth(call);
  };

/** Refuses to give more logs than so many at once. */
export const capResults =
  (mostLogs: number, refusal: Lie): Lie =>
  async (call) => {
    const body = await call.forward();
    return (body["result"] as unknown[]).length > mostLogs ? refusal(call) : { status: 200, body };
  };
