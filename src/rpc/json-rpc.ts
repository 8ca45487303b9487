/** JSON-RPC 2.0 over HTTP: one question, its result, or an error that says what kind of failure it was. */
import { DepositdError, type ErrorFacts, TemporaryError } from "../core/errors.ts";
import { type Fields, isFields } from "./answer.ts";
import type { HttpAnswer, HttpTransport, Pace } from "./http-transport.ts";
import { isLogCap, isPruned } from "./log-caps.ts";
import type { NodeAddress } from "./node-address.ts";

/**
 * Asks one question.
 *
 * @returns the `result`, which may be `null`, and of which nothing is known yet
 * @throws {TemporaryError} `node_unreachable`, `node_rate_limited`, `node_answer_invalid`, `node_error` (the node
 * says no), `node_method_missing` (it does not know the question), `node_range_refused` (too many logs at once)
 */
export type Ask = (method: string, params: readonly unknown[], signal?: AbortSignal) => Promise<unknown>;

export function createJsonRpc(transport: HttpTransport, address: NodeAddress): Ask {
  let lastId = 0;
  return async (method, params, signal) => {
    const id = ++lastId;
    const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const answer = await transport.post(body, signal, paceOf(method, params));
    return readResult(answer, { address, method, id });
  };
}

/** A chain id, a header: no node has to think about these. */
function paceOf(method: string, params: readonly unknown[]): Pace {
  const isHeader = method.startsWith("eth_getBlockBy") && params[1] === false;
  return isHeader || method === "eth_chainId" ? "quick" : "patient";
}

interface Question {
  readonly address: NodeAddress;
  readonly method: string;
  readonly id: number;
}

function readResult(answer: HttpAnswer, question: Question): unknown {
  if (answer.status === 429) throw rateLimited(question, answer);
  const body = parse(answer.text);
  // Many nodes say an error with a status of their own and the JSON-RPC error in the body.
  if (isFields(body) && isFields(body["error"])) throw readError(body["error"], question, answer);
  if (answer.status !== 200) {
    throw failure("node_error", `answered HTTP ${answer.status}`, question, { status: answer.status });
  }
  if (body === undefined) throw failure("node_answer_invalid", "did not answer in JSON", question);
  if (!isFields(body)) throw failure("node_answer_invalid", "did not answer with an object", question);
  if (body["id"] !== question.id) throw failure("node_answer_invalid", "answered another question", question);
  if (body["result"] === undefined)
    throw failure("node_answer_invalid", "answered without a result", question);
  return body["result"];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which no JSON text stands for
  }
}

const METHOD_NOT_FOUND = -32601;
/** EIP-1474 */
const METHOD_NOT_SUPPORTED = -32004;
const LIMIT_EXCEEDED = -32005;
const METHOD_MISSING_TEXT =
  /method\b.{0,80}\b(not found|not supported|not available|not exist|unavailable|disabled|not whitelisted)|does not exist\/is not available|unsupported method/i;
const RATE_LIMIT_TEXT = /rate.?limit|too many requests|(request|compute unit|capacity|quota).{0,40}exceeded/i;
const MAX_TEXT = 200;

function readError(error: Fields, question: Question, answer: HttpAnswer): TemporaryError {
  const rpcCode = typeof error["code"] === "number" ? error["code"] : null;
  const said = typeof error["message"] === "string" ? error["message"] : "";
  const text = question.address.redact(said).slice(0, MAX_TEXT);
  // Before the rate limit: some nodes use its code, and words like it, for a question that is too large.
  if (question.method === "eth_getLogs" && isLogCap(rpcCode, `${said} ${dataText(error)}`))
    return failure(
      "node_range_refused",
      `gives fewer blocks or logs at once (${rpcCode}: ${text})`,
      question,
    );
  if (rpcCode === LIMIT_EXCEEDED || RATE_LIMIT_TEXT.test(said)) return rateLimited(question, answer);
  const facts = {
    rpcCode,
    status: answer.status,
    ...(isPruned(rpcCode, said) ? { isPruned: true } : {}),
  };
  if (rpcCode === METHOD_NOT_FOUND || rpcCode === METHOD_NOT_SUPPORTED || METHOD_MISSING_TEXT.test(said)) {
    return failure("node_method_missing", "does not offer it", question, facts);
  }
  return failure("node_error", `answered an error (${rpcCode}: ${text})`, question, facts);
}

/** Some nodes say what is wrong in `data` alone. */
function dataText(error: Fields): string {
  return error["data"] === undefined ? "" : JSON.stringify(error["data"]).slice(0, 500);
}

function rateLimited(question: Question, answer: HttpAnswer): TemporaryError {
  const { retryAfterSeconds } = answer;
  return failure("node_rate_limited", "asks for fewer requests", question, { retryAfterSeconds });
}

function failure(
  code:
    | "node_error"
    | "node_range_refused"
    | "node_answer_invalid"
    | "node_rate_limited"
    | "node_method_missing",
  what: string,
  question: Question,
  facts: ErrorFacts = {},
): TemporaryError {
  const { address, method } = question;
  return new TemporaryError(code, `The node ${address.name}, asked for ${method}, ${what}`, {
    node: address.name,
    method,
    ...facts,
  });
}

/** True when the node answered, and its answer was that it does not know the method. */
export function isMethodMissing(error: unknown): boolean {
  return error instanceof DepositdError && error.code === "node_method_missing";
}
