/**
 * What no single value can tell: values that must differ, and amounts that depend on an asset's decimals. Works
 * on whatever part of the file can be read, so that a fault in one place does not hide those in another.
 */
import { z } from "zod";
import { parseAmount } from "../../core/amount.ts";
import { chainShape, type KnownChain, nativeShape, nodeShape, tokenShape } from "./chain-shape.ts";
import type { ConfigFault, PathKeys } from "./config-path.ts";
import { valueAt } from "./config-path.ts";
import type { ConfigTree } from "./config-tree.ts";
import { faultAt } from "./faults.ts";
import type { BandShape } from "./policy-shape.ts";
import { limitShape } from "./review-shape.ts";

type Shape = z.core.$ZodShape;
/** The keys of a map, each by itself: `undefined` where one is missing or at fault. */
type Readable<Keys extends Shape> = { readonly [Key in keyof Keys]: z.output<Keys[Key]> | undefined };

/** A place in the file with its value. */
interface Spot {
  readonly path: PathKeys;
  readonly value: unknown;
}

export function crossCheck(tree: ConfigTree, knownChains: ReadonlyMap<number, KnownChain>): ConfigFault[] {
  const chains = listAt({ path: [], value: tree.value }, "chains");
  const nodes = chains.flatMap((chain) => listAt(chain, "nodes"));
  const repeats = (
    spots: readonly Spot[],
    leaf: string,
    what: string,
    key: (spot: Spot) => string | number | undefined,
  ) =>
    findRepeats(spots, key).map((spot) =>
      faultAt([...spot.path, leaf], `${what} stands here a second time`, tree),
    );
  return [
    ...repeats(chains, "id", "this chain id", (chain) => readable(chainShape.shape, chain).id),
    ...repeats(nodes, "url", "this node URL", (node) => urlKey(readable(nodeShape.shape, node).url)),
    ...chains.flatMap((chain) =>
      repeats(
        listAt(chain, "tokens"),
        "address",
        "this token's contract",
        (token) => readable(tokenShape.shape, token).address,
      ),
    ),
    ...chains.flatMap((chain) => checkInherited(chain, knownChains, tree)),
    ...chains.flatMap((chain) => checkWitnesses(chain, tree)),
    ...chains.flatMap((chain) => checkAmounts(chain, tree)),
    ...checkReviewLimits(chains, tree),
  ];
}

/** What an unknown chain must say itself. */
function checkInherited(
  chain: Spot,
  knownChains: ReadonlyMap<number, KnownChain>,
  tree: ConfigTree,
): ConfigFault[] {
  const { id } = readable(chainShape.shape, chain);
  if (id === undefined || knownChains.has(id)) return [];
  return (["name", "blockTime", "confirmations"] as const)
    .filter((key) => valueAt(chain.value, [key]) === undefined)
    .map((key) =>
      faultAt([...chain.path, key], `missing: config/chains.yaml has no chain ${id} to take it from`, tree),
    );
}

/** A witness that is not there would be waited for for ever. */
function checkWitnesses(chain: Spot, tree: ConfigTree): ConfigFault[] {
  const { witnesses } = readable(chainShape.shape, chain);
  const nodeCount = listAt(chain, "nodes").length;
  if (witnesses === undefined || nodeCount === 0 || witnesses <= nodeCount) return [];
  const why = `more witnesses than the chain has nodes (${nodeCount}): name another node, or ask for fewer`;
  return [faultAt([...chain.path, "witnesses"], why, tree)];
}

function checkAmounts(chain: Spot, tree: ConfigTree): ConfigFault[] {
  return listAssets(chain).flatMap((asset) => {
    const { decimals, minimum, confirmations } = readable(nativeShape.shape, asset);
    if (decimals === undefined) return [];
    const minimumFault = minimum === undefined ? undefined : amountFault(minimum, decimals);
    return [
      ...(minimumFault === undefined ? [] : [faultAt([...asset.path, "minimum"], minimumFault, tree)]),
      ...checkBands(
        { path: [...asset.path, "confirmations"], value: confirmations },
        confirmations ?? [],
        decimals,
        tree,
      ),
    ];
  });
}

function listAssets(chain: Spot): Spot[] {
  const native: Spot = { path: [...chain.path, "native"], value: valueAt(chain.value, ["native"]) };
  return native.value === undefined ? listAt(chain, "tokens") : [native, ...listAt(chain, "tokens")];
}

/** Every limit must be an amount of the asset, and larger than the one before. */
function checkBands(
  spot: Spot,
  bands: readonly BandShape[],
  decimals: number,
  tree: ConfigTree,
): ConfigFault[] {
  const faults: ConfigFault[] = [];
  let lowest = -1n;
  for (const [index, { upTo }] of bands.entries()) {
    if (upTo === null) continue;
    const path = [...spot.path, index, "upTo"];
    const fault = amountFault(upTo, decimals);
    if (fault !== undefined) {
      faults.push(faultAt(path, fault, tree));
      continue;
    }
    const limit = parseAmount(upTo, decimals);
    if (limit <= lowest) faults.push(faultAt(path, "bands must stand in rising order of upTo", tree));
    lowest = limit;
  }
  return faults;
}

/** A limit that speaks of no asset would never hold anything, and nobody would see it. */
function checkReviewLimits(chains: readonly Spot[], tree: ConfigTree): ConfigFault[] {
  const limits = listAt({ path: ["review"], value: valueAt(tree.value, ["review"]) }, "limits");
  const repeated = findRepeats(limits, (spot) => {
    const { currency, chain } = readable(limitShape.shape, spot);
    return currency === undefined ? undefined : JSON.stringify([currency, chain]);
  });
  return [
    ...repeated.map((spot) =>
      faultAt([...spot.path, "currency"], "this limit stands here a second time", tree),
    ),
    ...limits.flatMap((spot) => checkReviewLimit(spot, chains, tree)),
  ];
}

function checkReviewLimit(spot: Spot, chains: readonly Spot[], tree: ConfigTree): ConfigFault[] {
  const { currency, chain, over } = readable(limitShape.shape, spot);
  if (currency === undefined || over === undefined) return [];
  const named = chains.filter((each) => [undefined, readable(chainShape.shape, each).id].includes(chain));
  if (named.length === 0) return [faultAt([...spot.path, "chain"], `chain ${chain} is not configured`, tree)];
  const assets = named
    .flatMap(listAssets)
    .map((asset) => readable(nativeShape.shape, asset))
    .filter((asset) => asset.currency === currency);
  if (assets.length === 0) {
    const why =
      chain === undefined ? `no chain lists ${currency}` : `chain ${chain} does not list ${currency}`;
    return [faultAt([...spot.path, "currency"], why, tree)];
  }
  const faults = assets.map(({ decimals }) =>
    decimals === undefined ? undefined : amountFault(over, decimals),
  );
  const fault = faults.find((each) => each !== undefined);
  return fault === undefined ? [] : [faultAt([...spot.path, "over"], fault, tree)];
}

function amountFault(amount: string, decimals: number): string | undefined {
  try {
    parseAmount(amount, decimals);
    return undefined;
  } catch {
    return `expected an amount such as "12.5", with at most ${decimals} digits after the point`;
  }
}

function findRepeats(spots: readonly Spot[], key: (spot: Spot) => string | number | undefined): Spot[] {
  const seen = new Set<string | number>();
  return spots.filter((spot) => {
    const name = key(spot);
    if (name === undefined) return false;
    const isRepeat = seen.has(name);
    seen.add(name);
    return isRepeat;
  });
}

/** The same URL written differently: `http://HOST:80` and `http://host/`. */
function urlKey(text: string | undefined): string | undefined {
  return text === undefined ? undefined : new URL(text).href;
}

function listAt(parent: Spot, key: string): Spot[] {
  const list = valueAt(parent.value, [key]);
  return Array.isArray(list)
    ? list.map((value: unknown, index) => ({ path: [...parent.path, key, index], value }))
    : [];
}

function readable<Keys extends Shape>(keys: Keys, spot: Spot): Readable<Keys> {
  const entries = Object.entries(keys).map(([key, schema]) => [
    key,
    z.safeParse(schema, valueAt(spot.value, [key])).data,
  ]);
  return Object.fromEntries(entries) as Readable<Keys>;
}
