/** What differs between two configs: which parts take effect at once, and which only with a restart. */
import type { ChainConfig, Config } from "./config.ts";

export interface ConfigChange {
  /** Such as `callbacks.scheduleMs` or `chains.1.assets`. */
  readonly path: string;
  readonly from: string;
  readonly to: string;
  readonly needsRestart: boolean;
}

/** Policies, minimums and tokens (the assets of a chain), and how callbacks are repeated. */
const LIVE_CALLBACKS: readonly string[] = ["timeoutMs", "scheduleMs"];
const LIVE_CHAIN_KEYS: readonly string[] = ["assets"];
/** Where secrets may stand: only that they changed is told. */
const SECRET = /url$|nodes$|database|queue|screening/i;

export function compareConfigs(from: Config, to: Config): ConfigChange[] {
  const { callbacks: oldCallbacks, review: oldReview, chains: oldChains, ...oldRest } = from;
  const { callbacks, review, chains, ...rest } = to;
  return [
    ...compareKeys("", oldRest, rest, () => false),
    ...compareKeys("callbacks.", oldCallbacks, callbacks, (key) => LIVE_CALLBACKS.includes(key)),
    ...compareKeys("review.", oldReview, review, () => true),
    ...compareChains(oldChains, chains),
  ];
}

function compareChains(from: readonly ChainConfig[], to: readonly ChainConfig[]): ConfigChange[] {
  const ids = [...new Set([...from, ...to].map((chain) => chain.id))];
  return ids.flatMap((id) => {
    const [before, after] = [from.find((chain) => chain.id === id), to.find((chain) => chain.id === id)];
    if (before !== undefined && after !== undefined) {
      return compareKeys(`chains.${id}.`, before, after, (key) => LIVE_CHAIN_KEYS.includes(key));
    }
    const there = (chain: ChainConfig | undefined) => (chain === undefined ? "not there" : "there");
    return [{ path: `chains.${id}`, from: there(before), to: there(after), needsRestart: true }];
  });
}

function compareKeys<Part extends object>(
  prefix: string,
  from: Part,
  to: Part,
  isLive: (key: string) => boolean,
): ConfigChange[] {
  return Object.keys({ ...from, ...to }).flatMap((key) => {
    const [before, after] = [from, to].map((part) => textOf(part[key as keyof Part]));
    if (before === undefined || after === undefined || before === after) return [];
    const path = `${prefix}${key}`;
    const shown = (text: string) => (SECRET.test(path) ? "(hidden)" : text);
    return [{ path, from: shown(before), to: shown(after), needsRestart: !isLive(key) }];
  });
}

function textOf(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, each: unknown) =>
    typeof each === "bigint" ? each.toString() : each,
  );
}
