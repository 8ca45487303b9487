/**
 * The prepared chain as answers on disk: made once with a real node, then served by `replay-node.ts` as fast as
 * bytes can be sent. With anvil itself behind it, the benchmark would mostly measure anvil.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";
import type { Address } from "../../src/core/hex.ts";
import { type PreparedChain, type PreparedChainOptions, prepareChain } from "./prepared-chain.ts";

export interface ChainToRead {
  readonly url: string;
  readonly chainId: number;
  readonly token: Address;
  readonly watched: readonly Address[];
  readonly from: bigint;
  readonly to: bigint;
  readonly depositCount: number;
  stop(): Promise<void>;
}

/** Chains of one recording. Their ids follow each other, from 41000 on. */
export interface MovingChains extends ChainToRead {
  readonly urls: readonly string[];
}

/** The first line of a recording; the others are `method params` and the answer's result, in turn. */
export interface RecordingHeader {
  readonly chainId: number;
  readonly token: Address;
  readonly watched: readonly Address[];
  readonly from: number;
  readonly to: number;
  readonly depositCount: number;
}

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/depositd/", import.meta.url));
const REPLAY_NODE = fileURLToPath(new URL("./replay-node.ts", import.meta.url));
/** Raise it when what is prepared or recorded changes. */
const FORMAT = 1;

export async function readPreparedChain(options: PreparedChainOptions): Promise<ChainToRead> {
  const prepared = await prepareChain(options);
  return {
    url: prepared.anvil.url,
    ...headerOf(prepared),
    from: prepared.from,
    to: prepared.to,
    stop: prepared.anvil.stop,
  };
}

export async function readRecordedChain(
  options: PreparedChainOptions,
  say: (line: string) => void,
): Promise<ChainToRead> {
  return startReplay(await recordedFile(options, say));
}

/** The same chain as that many chains, each at its head, which moves on by a block a second. */
export async function readMovingChains(
  options: PreparedChainOptions,
  chainCount: number,
  say: (line: string) => void,
): Promise<MovingChains> {
  return startReplay(await recordedFile(options, say), String(chainCount));
}

async function recordedFile(options: PreparedChainOptions, say: (line: string) => void): Promise<string> {
  const name = `bench-chain-${FORMAT}-${options.blocks}-${options.transfersPerBlock}-${options.watchedPerBlock}`;
  const file = `${CACHE}${name}.ndjson.gz`;
  if (!existsSync(file)) {
    say(`preparing a chain of ${options.blocks} blocks (once; kept in node_modules/.cache)`);
    await mkdir(CACHE, { recursive: true });
    await record(await prepareChain(options), file);
  }
  return file;
}

async function record(chain: PreparedChain, file: string): Promise<void> {
  const draft = `${file}.${process.pid}`;
  const gzip = createGzip({ level: 1 });
  const done = once(gzip.pipe(createWriteStream(draft)), "finish");
  const write = async (line: string) => {
    if (!gzip.write(`${line}\n`)) await once(gzip, "drain");
  };
  await write(JSON.stringify(headerOf(chain)));
  for (let number = chain.from - 1n; number <= chain.to; number++) {
    const hex = `0x${number.toString(16)}`;
    const block = await ask(chain.anvil.url, "eth_getBlockByNumber", [hex, true]);
    const { hash } = JSON.parse(block) as { hash: string };
    const header = await ask(chain.anvil.url, "eth_getBlockByNumber", [hex, false]);
    const receipts = await ask(chain.anvil.url, "eth_getBlockReceipts", [hash]);
    await write(questionKey("eth_getBlockByNumber", [hex, true]));
    await write(block);
    await write(questionKey("eth_getBlockByNumber", [hex, false]));
    await write(header);
    await write(questionKey("eth_getBlockReceipts", [hash]));
    await write(receipts);
  }
  gzip.end();
  await done;
  await chain.anvil.stop();
  await rename(draft, file);
}

export function questionKey(method: string, params: readonly unknown[]): string {
  return `${method} ${JSON.stringify(params)}`;
}

/** The text of the result, as the node wrote it. */
async function ask(url: string, method: string, params: readonly unknown[]): Promise<string> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const text = await response.text();
  const start = text.indexOf('"result":');
  if (start < 0) throw new Error(`The node answered ${method} with ${text.slice(0, 200)}`);
  return text.slice(start + '"result":'.length, text.lastIndexOf("}"));
}

async function startReplay(...args: readonly string[]): Promise<MovingChains> {
  const child = spawn(process.execPath, ["--import", "tsx", REPLAY_NODE, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { url, urls, ...header } = JSON.parse(line) as RecordingHeader & Pick<MovingChains, "url" | "urls">;
  return {
    url,
    urls,
    ...header,
    from: BigInt(header.from),
    to: BigInt(header.to),
    stop: async () => {
      const gone = once(child, "exit");
      child.stdin.end();
      await gone;
    },
  };
}

function headerOf(chain: PreparedChain): RecordingHeader {
  return {
    chainId: chain.anvil.chainId,
    token: chain.token.address,
    watched: chain.watched,
    from: Number(chain.from),
    to: Number(chain.to),
    depositCount: chain.depositCount,
  };
}
