/**
 * A program: a node that knows one recorded chain by heart. `node --import tsx replay-node.ts <recording>` prints
 * one line of JSON with its URL, and ends when its standard input does. With `<recording> <count>` it is as many
 * nodes, each of a chain of its own, whose heads move on by a block a second; the line then has all their URLs.
 */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { questionKey, type RecordingHeader } from "./recorded-chain.ts";

/** The first of many chains; the others follow. */
const FIRST_CHAIN_ID = 41_000;
/** Where the heads of many stand when they begin: behind them is what a follower reads first. */
const FIRST_HEAD = 10;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: unknown[];
}

interface ReplayedChain {
  readonly chainId: number;
  head(): number;
}

const answers = new Map<string, Buffer>();
const [, , file = "", count] = process.argv;
const header = await load(file);
for (const [question, answer] of [...answers]) {
  const [, isFull] = /^eth_getBlockByNumber \["0x[0-9a-f]+",(true|false)\]$/.exec(question) ?? [];
  if (isFull === undefined) continue;
  const { hash, number } = JSON.parse(answer.toString()) as { hash: string; number: string };
  answers.set(questionKey("eth_getBlockByHash", [hash, isFull === "true"]), answer);
  const receipts = answers.get(questionKey("eth_getBlockReceipts", [hash]));
  if (receipts !== undefined) answers.set(questionKey("eth_getBlockReceipts", [number]), receipts);
}

const urls = await Promise.all(chains().map(serve));
process.stdout.write(`${JSON.stringify({ ...header, url: urls[0], urls })}\n`);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

function chains(): ReplayedChain[] {
  if (count === undefined) return [{ chainId: header.chainId, head: () => header.to }];
  const beganAt = performance.now();
  const head = () =>
    Math.min(header.to, header.from + FIRST_HEAD + Math.floor((performance.now() - beganAt) / 1_000));
  return Array.from({ length: Number(count) }, (_, index) => ({ chainId: FIRST_CHAIN_ID + index, head }));
}

async function serve(chain: ReplayedChain): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const pieces = answer(chain, JSON.parse(Buffer.concat(chunks).toString("utf8")) as Call);
      response.writeHead(200, {
        "content-type": "application/json",
        "content-length": pieces.reduce((bytes, piece) => bytes + piece.length, 0),
      });
      response.cork();
      for (const piece of pieces) response.write(piece);
      response.end();
    });
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answer(chain: ReplayedChain, call: Call): Buffer[] {
  const result = resultOf(chain, call) ?? Buffer.from("null");
  return [Buffer.from(`{"jsonrpc":"2.0","id":${call.id},"result":`), result, Buffer.from("}")];
}

function resultOf(chain: ReplayedChain, { method, params }: Call): Buffer | undefined {
  if (method === "eth_chainId") return quantity(chain.chainId);
  if (method === "eth_blockNumber") return quantity(chain.head());
  const [block, ...rest] = params;
  if (method !== "eth_getBlockByNumber") return answers.get(questionKey(method, params));
  const number = typeof block === "string" && block.startsWith("0x") ? Number(block) : chain.head();
  if (number > chain.head()) return undefined;
  return answers.get(questionKey(method, [`0x${number.toString(16)}`, ...rest]));
}

function quantity(number: number): Buffer {
  return Buffer.from(`"0x${number.toString(16)}"`);
}

async function load(file: string): Promise<RecordingHeader> {
  let first: RecordingHeader | undefined;
  let question: string | undefined;
  for await (const line of createInterface(createReadStream(file).pipe(createGunzip()))) {
    if (first === undefined) first = JSON.parse(line) as RecordingHeader;
    else if (question === undefined) question = line;
    else {
      answers.set(question, Buffer.from(line));
      question = undefined;
    }
  }
  if (first === undefined) throw new Error(`${file} is empty`);
  return first;
}
