/**
 * A program: a node that knows one recorded chain by heart. `node --import tsx replay-node.ts <recording>` prints
 * one line of JSON with its URL, and ends when its standard input does.
 */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { questionKey, type RecordingHeader } from "./recorded-chain.ts";

const answers = new Map<string, Buffer>();
const header = await load(process.argv[2] ?? "");
for (const [question, answer] of [...answers]) {
  const [, isFull] = /^eth_getBlockByNumber \["0x[0-9a-f]+",(true|false)\]$/.exec(question) ?? [];
  if (isFull === undefined) continue;
  const { hash } = JSON.parse(answer.toString()) as { hash: string };
  answers.set(questionKey("eth_getBlockByHash", [hash, isFull === "true"]), answer);
}
const lastBlock = `0x${header.to.toString(16)}`;
const latest = JSON.stringify([lastBlock, false]);
for (const tag of ["latest", "safe", "finalized"]) {
  const known = answers.get(`eth_getBlockByNumber ${latest}`);
  if (known !== undefined) answers.set(questionKey("eth_getBlockByNumber", [tag, false]), known);
}
answers.set(questionKey("eth_chainId", []), Buffer.from(`"0x${header.chainId.toString(16)}"`));
answers.set(questionKey("eth_blockNumber", []), Buffer.from(`"${lastBlock}"`));

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: unknown[];
}

const END = Buffer.from("}");
const COMMA = Buffer.from(",");
const OPEN = Buffer.from("[");
const CLOSE = Buffer.from("]");

function answer({ id, method, params }: Call): Buffer[] {
  const result = answers.get(questionKey(method, params)) ?? Buffer.from("null");
  return [Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":`), result, END];
}

function answerBatch(calls: readonly Call[]): Buffer[] {
  return [OPEN, ...calls.flatMap((call, index) => [...(index > 0 ? [COMMA] : []), ...answer(call)]), CLOSE];
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const asked = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Call | Call[];
    const pieces = Array.isArray(asked) ? answerBatch(asked) : answer(asked);
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
const { port } = server.address() as AddressInfo;
process.stdout.write(`${JSON.stringify({ ...header, url: `http://127.0.0.1:${port}` })}\n`);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

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
