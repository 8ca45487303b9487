/**
 * A node that lies in every way of section C, one way after the other in an order drawn from a seed, each for a
 * moment, with moments of truth between. All ways come before any comes again.
 */
import type { Address } from "../core/hex.ts";
import { systemClock } from "../runtime/clock.ts";
import * as lies from "../testing/lies.ts";
import { createNodeMemory } from "../testing/node-memory.ts";
import type { NodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";

export interface LiarOptions {
  readonly proxy: NodeProxy;
  readonly random: () => number;
  /** The node behind the proxy, and one of another chain altogether. */
  readonly upstreamUrl: string;
  readonly otherChainUrl: string;
  /** An invented deposit goes from anybody to here. */
  readonly victim: Address;
  readonly token: Address;
  /** How long one lie and one truth last at most. */
  readonly longestLieMs: number;
  readonly longestTruthMs: number;
}

export interface Liar {
  /** Names of all the ways. */
  readonly ways: readonly string[];
  /** How often each way was told to somebody who asked. */
  readonly told: ReadonlyMap<string, number>;
  /** Ends the lie under way, and lies no more. */
  stop(): Promise<void>;
}

/** Begins it; answers what ends it. */
type Way = () => () => void;

export function startLiar(options: LiarOptions): Liar {
  const { proxy, random } = options;
  const told = new Map<string, number>();
  const stopping = new AbortController();
  const ways = Object.entries(waysOf(options, (name) => told.set(name, (told.get(name) ?? 0) + 1)));
  const running = (async () => {
    for (let deck: typeof ways = []; !stopping.signal.aborted; ) {
      if (deck.length === 0) deck = shuffled(ways, random);
      const way = deck.shift();
      if (way === undefined) continue;
      if (!(await tellFor(way, told, options, stopping.signal))) deck.push(way);
      await systemClock.sleep(random() * options.longestTruthMs, stopping.signal);
    }
  })();
  // A failure shows when it is stopped; until then it must not end the test runner.
  running.catch(() => undefined);
  return {
    ways: ways.map(([name]) => name),
    told,
    stop: async () => {
      stopping.abort();
      await running;
      proxy.tellTruth();
    },
  };
}

/**
 * A node that fails is left alone for a while, and a lie to nobody is none: it waits for someone to ask.
 *
 * @returns whether anybody heard it
 */
async function tellFor(
  [name, begin]: readonly [name: string, Way],
  told: ReadonlyMap<string, number>,
  { random, longestLieMs }: LiarOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const before = told.get(name) ?? 0;
  const isHeard = () => (told.get(name) ?? 0) > before;
  const end = begin();
  try {
    await waitFor(() => isHeard() || signal.aborted, { timeoutMs: PATIENCE_MS }).catch(() => false);
    await systemClock.sleep(random() * longestLieMs, signal);
    return isHeard();
  } finally {
    end();
  }
}

const PATIENCE_MS = 3_000;
const RECEIPTS = ["eth_getBlockReceipts", "eth_getTransactionReceipt"];
const BLOCKS = ["eth_getBlockByHash", "eth_getBlockByNumber"];
const TRACES = ["debug_traceBlockByHash", "trace_block"];
const PARTS = [...RECEIPTS, ...BLOCKS, ...TRACES];
const TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/** Every way of section C by its name. */
function waysOf(options: LiarOptions, onTold: (name: string) => void): Record<string, Way> {
  const { proxy, random } = options;
  const memory = createNodeMemory();
  proxy.lie(memory.remember);

  const ways: Record<string, Way> = {};
  const tell = (name: string, lie: lies.Lie, methods?: readonly string[]) => {
    const counted: lies.Lie = (call) => {
      onTold(name);
      return lie(call);
    };
    ways[name] = () => proxy.lie(counted, methods === undefined ? {} : { methods });
  };

  tell("C1 no receipts", lies.emptyList(), RECEIPTS);
  tell("C1 receipts without logs", lies.emptyLogs(), ["eth_getBlockReceipts"]);
  tell("C1 no traces", lies.emptyList(), TRACES);
  tell("C2 a log left out", (call) => lies.dropLog(Math.floor(random() * 3))(call), ["eth_getBlockReceipts"]);
  tell("C3 null blocks", lies.nothing(), BLOCKS);
  tell("C3 null receipts", lies.nothing(), RECEIPTS);
  tell("C4 parts of other blocks and branches", memory.mixUp(random), PARTS);
  tell("C5 429", lies.tooManyRequests(), undefined);
  tell("C5 502", lies.badGateway());
  tell("C5 an error under HTTP 200", lies.rpcError(-32000, "header not found"));
  tell("C5 truncated", lies.truncate());
  tell("C5 another question's answer", lies.wrongId());
  tell("C5 an empty batch", lies.missingItem());
  tell("C6 a cap", lies.rpcError(-32005, "query returned more than 10000 results"), [
    "eth_getLogs",
    ...RECEIPTS,
  ]);
  tell("C7 another chain id", lies.otherChain(1), ["eth_chainId"]);
  tell("C8 a head far ahead", lies.jumpAhead(100_000), ["eth_getBlockByNumber"]);
  tell("C9 hangs", lies.hang(), PARTS);
  tell("C10 stands still on a branch", memory.repeat);
  tell("C10 lags", lies.lag(3), ["eth_getBlockByNumber", "eth_blockNumber"]);
  tell("C11 does not trace", lies.methodMissing(), TRACES);
  tell(
    "C12 an invented token deposit",
    lies.inventLog({
      address: options.token,
      topics: [TRANSFER_TOPIC, topicOf(`0x${"77".repeat(20)}`), topicOf(options.victim)],
      data: `0x${(10n ** 12n).toString(16).padStart(64, "0")}`,
    }),
    ["eth_getBlockReceipts"],
  );
  tell("C12 an invented amount of coins", lies.inventValue(10n ** 18n), BLOCKS);
  tell("C13 gone", lies.reset());

  return {
    ...ways,
    "C7 cut over to another chain": () => {
      onTold("C7 cut over to another chain");
      proxy.redirect(options.otherChainUrl);
      proxy.cutConnections();
      return () => {
        proxy.redirect(options.upstreamUrl);
        proxy.cutConnections();
      };
    },
    "C9 a silent WebSocket": () => {
      onTold("C9 a silent WebSocket");
      proxy.silenceWebSockets(true);
      return () => proxy.silenceWebSockets(false);
    },
  };
}

function topicOf(address: Address): string {
  return `0x${address.slice(2).padStart(64, "0")}`;
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
