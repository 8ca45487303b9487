/** Two nodes of one real chain, each behind a proxy that lies on command. */
import type { BlockHeader } from "../core/chain.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { type Anvil, startAnvil } from "./anvil.ts";
import { type NodeProxy, startNodeProxy } from "./node-proxy.ts";
import { type TestNodesOptions, testNodes } from "./nodes.ts";

export interface ProxiedNodes {
  readonly chain: Anvil;
  readonly first: NodeProxy;
  readonly second: NodeProxy;
  /** The chain's, as long as nobody mines. */
  readonly head: BlockHeader;
  open(urls: readonly string[], options?: TestNodesOptions): ChainNodes;
  /** The first alone. */
  one(options?: TestNodesOptions): ChainNodes;
  both(options?: TestNodesOptions): ChainNodes;
  /** After each test: the truth is told again, and what was opened is closed. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

export async function startProxiedNodes(): Promise<ProxiedNodes> {
  const chain = await startAnvil({ mining: "manual", slotsInAnEpoch: 1 });
  const first = await startNodeProxy(chain.url);
  const second = await startNodeProxy(chain.url);
  const head = await chain.mine(5);
  const opened: ChainNodes[] = [];
  const open = (urls: readonly string[], options: TestNodesOptions = {}) => {
    const nodes = testNodes(urls, options);
    opened.push(nodes);
    return nodes;
  };
  return {
    chain,
    first,
    second,
    head,
    open,
    one: (options) => open([first.url], options),
    both: (options) => open([first.url, second.url], options),
    reset: async () => {
      for (const proxy of [first, second]) {
        proxy.tellTruth();
        proxy.resetCalls();
      }
      for (const nodes of opened.splice(0)) await nodes.close();
    },
    stop: async () => {
      await Promise.all([first.stop(), second.stop()]);
      await chain.stop();
    },
  };
}
