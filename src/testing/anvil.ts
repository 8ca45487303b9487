/** A real chain for tests, the demo and benchmarks: an anvil node of its own process. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { foundry } from "viem/chains";
import { findAnvilBinary } from "./anvil-binary.ts";
import { BASE_FEE_WEI, hex, type Miner } from "./branches.ts";
import { type NodeProcess, startNodeProcess } from "./node-process.ts";
import { createTestNode, DEFAULT_ACCOUNTS, MNEMONIC, type TestNode } from "./test-node.ts";
import type { Request } from "./test-transactions.ts";

export interface AnvilOptions {
  /** `auto`: a block for each transaction; `manual`: only `mine` makes blocks; or one every so many seconds. */
  readonly mining?: "auto" | "manual" | { readonly blockTimeSeconds: number };
  readonly chainId?: number;
  /** `safe` and `finalized` lag one and two epochs behind the head. anvil's own default is 32. */
  readonly slotsInAnEpoch?: number;
  readonly hardfork?: string;
  readonly accounts?: number;
  /** 0: any free port. */
  readonly port?: number;
  /** More arguments for the command line. */
  readonly args?: readonly string[];
}

export type { TestToken, TokenOptions } from "./test-node.ts";

export type Anvil = TestNode;

/** Starts the node and waits until it answers. Stop it when done; it also ends with this process. */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const chainId = options.chainId ?? foundry.id;
  return createTestNode({
    process: await startProcess(options, chainId),
    chainId,
    accountCount: options.accounts ?? DEFAULT_ACCOUNTS,
    minerOf: (request) => minerOf(request, options.mining ?? "auto"),
  });
}

/** With a folder of its own for old states, which anvil would leave behind in the user's: some gigabytes a day. */
async function startProcess(options: AnvilOptions, chainId: number): Promise<NodeProcess> {
  const states = mkdtempSync(join(tmpdir(), "depositd-anvil-"));
  const remove = () => rmSync(states, { recursive: true, force: true });
  process.once("exit", remove);
  const forget = () => {
    process.off("exit", remove);
    remove();
  };
  try {
    const node = await startNodeProcess("anvil", {
      command: findAnvilBinary(),
      args: [...commandLine(options, chainId), "--cache-path", states],
      listening: /Listening on [^\s:]+:(\d+)/,
    });
    return { ...node, stop: () => node.stop().then(forget) };
  } catch (rawError) {
    forget();
    throw rawError;
  }
}

/**
 * Base fees are set, because a revert does not bring the old one back; so the same transactions at the same
 * timestamps make a block with the same hash again.
 */
function minerOf(request: Request, mining: NonNullable<AnvilOptions["mining"]>): Miner {
  return {
    mine: async (count) => {
      await request("anvil_mine", [hex(count)]);
    },
    mineAt: async (timestamp) => {
      await request("anvil_setNextBlockBaseFeePerGas", [hex(BASE_FEE_WEI)]);
      if (timestamp !== undefined) await request("evm_setNextBlockTimestamp", [hex(timestamp)]);
      await request("evm_mine");
    },
    emptyMempool: async () => {
      await request("anvil_dropAllTransactions");
    },
    withoutOwnMining: (work) => withoutOwnMining(request, mining, work),
  };
}

async function withoutOwnMining<Result>(
  request: Request,
  mining: NonNullable<AnvilOptions["mining"]>,
  work: () => Promise<Result>,
): Promise<Result> {
  if (mining === "auto") await request("evm_setAutomine", [false]);
  if (typeof mining === "object") await request("evm_setIntervalMining", [0]);
  try {
    return await work();
  } finally {
    if (mining === "auto") await request("evm_setAutomine", [true]);
    if (typeof mining === "object") await request("evm_setIntervalMining", [mining.blockTimeSeconds]);
  }
}

function commandLine(options: AnvilOptions, chainId: number): string[] {
  const mining = options.mining ?? "auto";
  return [
    ["--port", String(options.port ?? 0)],
    ["--chain-id", String(chainId)],
    ["--accounts", String(options.accounts ?? DEFAULT_ACCOUNTS)],
    ["--balance", "1000000"],
    ["--mnemonic", MNEMONIC],
    // Blocks hold transactions as they came, so that a test decides on their order.
    ["--order", "fifo"],
    ["--gas-limit", "1000000000"],
    mining === "manual" ? ["--no-mining"] : [],
    typeof mining === "object" ? ["--block-time", String(mining.blockTimeSeconds)] : [],
    options.slotsInAnEpoch === undefined ? [] : ["--slots-in-an-epoch", String(options.slotsInAnEpoch)],
    options.hardfork === undefined ? [] : ["--hardfork", options.hardfork],
    options.args ?? [],
  ].flat();
}
