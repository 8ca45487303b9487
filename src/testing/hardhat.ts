/**
 * A real chain of another make: `hardhat node` in a process of its own, with no project, no compiler, no telemetry
 * and no network.
 *
 * It has no eth_getBlockReceipts, no debug_traceBlockByHash and no trace_block, and calls its own head `safe` and
 * `finalized`. A revert brings the mempool back as it was.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BASE_FEE_WEI, hex, type Miner } from "./branches.ts";
import { startNodeProcess } from "./node-process.ts";
import { createTestNode, DEFAULT_ACCOUNTS, MNEMONIC, type TestNode } from "./test-node.ts";
import type { Request } from "./test-transactions.ts";

/** It refuses to run from a folder without a hardhat of its own. */
const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/** Mines only when told to. */
export async function startHardhat(chainId = 31337): Promise<TestNode> {
  const folder = await mkdtemp(join(tmpdir(), "depositd-hardhat-"));
  const config = join(folder, "hardhat.config.cjs");
  await writeFile(config, `module.exports = ${JSON.stringify(configOf(chainId))};\n`);
  const program = createRequire(import.meta.url).resolve("hardhat/internal/cli/bootstrap");
  const process = await startNodeProcess("hardhat", {
    command: globalThis.process.execPath,
    args: [program, "--config", config, "node", "--hostname", "127.0.0.1", "--port", "0"],
    cwd: PROJECT,
    // What it writes about itself goes where it is deleted with the rest.
    env: { PATH: globalThis.process.env["PATH"], HOME: folder, HARDHAT_DISABLE_TELEMETRY_PROMPT: "true" },
    listening: /server at http:\/\/[^\s:]+:(\d+)/,
  });
  const node = createTestNode({ process, chainId, accountCount: DEFAULT_ACCOUNTS, minerOf });
  return {
    ...node,
    stop: async () => {
      await node.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configOf(chainId: number) {
  return {
    networks: {
      hardhat: {
        chainId,
        hardfork: "shanghai",
        blockGasLimit: 1_000_000_000,
        mining: { auto: false, interval: 0, mempool: { order: "fifo" } },
        accounts: { mnemonic: MNEMONIC, count: DEFAULT_ACCOUNTS, accountsBalance: `1${"0".repeat(24)}` },
      },
    },
  };
}

function minerOf(request: Request): Miner {
  return {
    mine: async (count) => {
      await request("hardhat_mine", [hex(count)]);
    },
    mineAt: async (timestamp) => {
      await request("hardhat_setNextBlockBaseFeePerGas", [hex(BASE_FEE_WEI)]);
      if (timestamp !== undefined) await request("evm_setNextBlockTimestamp", [hex(timestamp)]);
      await request("evm_mine");
    },
    emptyMempool: async () => undefined,
    withoutOwnMining: (work) => work(),
  };
}
