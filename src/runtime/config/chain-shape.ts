/** The `chains` part of a config, and the same words in `config/chains.yaml`. */
import { z } from "zod";
import { AMOUNT_SOURCES } from "../../core/asset.ts";
import { NATIVE_SOURCES } from "../../core/chain.ts";
import { VERIFICATION_MODES } from "../../core/verification.ts";
import { BACKFILLS } from "./config.ts";
import {
  amountText,
  boolean,
  duration,
  integer,
  oneOf,
  optionalUrl,
  text,
  tokenAddress,
  url,
  walletAddress,
} from "./leaves.ts";
import { assetPolicy, chainPolicy } from "./policy-shape.ts";

const chainId = integer(1, Number.MAX_SAFE_INTEGER);
const name = text("a name of 1 to 40 letters, digits, dots, dashes or spaces", /^[\w.-][\w. -]{0,39}$/);
const blockTime = duration(10, 3_600_000);
const reorgWindow = integer(1, 100_000);

const assetKeys = {
  currency: text("a currency of 1 to 32 characters without spaces", /^\S{1,32}$/),
  // Beyond 77 digits a single unit would not fit into 256 bits.
  decimals: integer(0, 77),
  minimum: amountText.optional(),
  confirmations: assetPolicy.optional(),
};

export const nativeShape = z.strictObject(
  {
    ...assetKeys,
    // No default: value moved inside contract calls is either looked for or knowingly not looked for.
    internal: oneOf(
      ["trace", "none"],
      ' ("trace" finds coins moved inside contract calls and needs a node that traces, "none" declares that they are not looked for)',
    ),
    source: oneOf(
      NATIVE_SOURCES,
      ' ("value" reads transactions, "eip7708" the logs of a chain that writes one for every native transfer)',
    ).optional(),
  },
  { error: "expected { currency, decimals, minimum, internal }" },
);

export const tokenShape = z.strictObject(
  {
    ...assetKeys,
    address: tokenAddress,
    amountFrom: oneOf(
      AMOUNT_SOURCES,
      ' ("event" counts what the Transfer event tells, "balance" what the recipient\'s balance grew by)',
    ).optional(),
  },
  { error: "expected { currency, address, decimals, minimum }" },
);

export const nodeShape = z.strictObject(
  {
    url: url("http", "https"),
    ws: optionalUrl("ws", "wss").default(null),
    maxConcurrency: integer(1, 256).optional(),
  },
  { error: "expected { url, ws, maxConcurrency }" },
);

export const chainShape = z.strictObject(
  {
    id: chainId,
    name: name.optional(),
    nodes: z
      .array(nodeShape, { error: "expected a list of { url, ws }" })
      .min(1, { error: "expected one node or more" }),
    startBlock: z
      .union([z.literal("latest"), integer(0, Number.MAX_SAFE_INTEGER)], {
        error: 'expected "latest" or a block number',
      })
      .default("latest"),
    blockTime: blockTime.optional(),
    pollInterval: duration(10, 600_000).optional(),
    reorgWindow: reorgWindow.optional(),
    fetchConcurrency: integer(1, 256).optional(),
    fetchThreads: integer(0, 16).optional(),
    verification: oneOf(
      VERIFICATION_MODES,
      ' ("auto" holds every block to what the chain is seen to prove, "proved" and "bloom" to that level, "none" to nothing)',
    ).default("auto"),
    backfill: oneOf(
      BACKFILLS,
      ' ("blocks" reads every block of the past, "logs" lets ranges of logs say which, "auto" does so with two nodes)',
    ).default("auto"),
    witnesses: integer(1, 16).default(1),
    mempool: boolean.default(false),
    confirmations: chainPolicy.optional(),
    ownWallets: z.array(walletAddress, { error: "expected a list of addresses" }).default([]),
    native: nativeShape.optional(),
    tokens: z.array(tokenShape, { error: "expected a list of tokens" }).default([]),
  },
  { error: "expected a chain: { id, nodes, … }" },
);

export type ChainShape = z.output<typeof chainShape>;
export type NativeShape = z.output<typeof nativeShape>;
export type TokenShape = z.output<typeof tokenShape>;

/** A chain that is known without configuring it: what it says is what a config may leave out. */
export const knownChainShape = z.strictObject({
  id: chainId,
  name,
  blockTime,
  reorgWindow,
  confirmations: chainPolicy,
});
export type KnownChain = z.output<typeof knownChainShape>;

export const knownChainsShape = z.strictObject({ chains: z.array(knownChainShape) });
