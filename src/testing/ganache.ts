/**
 * A real chain of a third make: ganache in a process of its own.
 *
 * It has no eth_getBlockReceipts, no debug_traceBlockByHash and no trace_block, and calls its own head `safe` and
 * `finalized`. A revert brings the mempool back as it was; the base fee goes its own way.
 */
import { fileURLToPath } from "node:url";
import type { Miner } from "./branches.ts";
import { startNodeProcess } from "./node-process.ts";
import { createTestNode, DEFAULT_ACCOUNTS, MNEMONIC, type TestNode } from "./test-node.ts";
import type { Request } from "./test-transactions.ts";

/** Where its package is found from. */
const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/** Its command line takes no "any free port", its server does. */
const PROGRAM = `
  const server = require("ganache").server(JSON.parse(process.argv[1]));
  server.listen(0, "127.0.0.1").then(() => console.log("Listening on " + server.address().port));
`;

/** Mines only when told to. */
export async function startGanache(chainId = 31337): Promise<TestNode> {
  const options = {
    chain: { chainId, hardfork: "shanghai" },
    wallet: { mnemonic: MNEMONIC, totalAccounts: DEFAULT_ACCOUNTS, defaultBalance: 1_000_000 },
    miner: { blockGasLimit: 1_000_000_000 },
    logging: { quiet: true },
  };
  const process = await startNodeProcess("ganache", {
    command: globalThis.process.execPath,
    args: ["-e", PROGRAM, JSON.stringify(options)],
    cwd: PROJECT,
    listening: /Listening on (\d+)/,
  });
  const node = createTestNode({ process, chainId, accountCount: DEFAULT_ACCOUNTS, minerOf });
  await node.request("miner_stop");
  return node;
}

function minerOf(request: Request): Miner {
  return {
    mine: async (count) => {
      for (let mined = 0; mined < count; mined++) await request("evm_mine");
    },
    mineAt: async (timestamp) => {
      await request("evm_mine", timestamp === undefined ? [] : [{ timestamp, blocks: 1 }]);
    },
    emptyMempool: async () => undefined,
    withoutOwnMining: (work) => work(),
  };
}
