/** What `doctor` looks at in a chain's tokens: their contracts, and balances where those count. Throws nothing. */
import type { Asset } from "../core/asset.ts";
import { coerceError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import { type ChainNodes, createChainNodes } from "../rpc/chain-nodes.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { type DoctorParts, type Finding, fail, ok, warn, withinProbeTime } from "./doctor-checks.ts";

type Token = Asset & { readonly token: Address };

/** geth keeps the state of 128 blocks. */
const OUTAGE_BLOCKS = 100n;

export async function checkTokenContracts(
  chain: ChainConfig,
  { clock, logger }: DoctorParts,
): Promise<Finding[]> {
  const tokens = chain.assets.filter((asset): asset is Token => asset.token !== null);
  if (tokens.length === 0) return [];
  const nodes = createChainNodes({ chain, clock, logger });
  try {
    const findings = await withinProbeTime(clock, async (signal) => {
      const found: Finding[] = [];
      for (const token of tokens) found.push(...(await checkToken(chain, token, nodes, signal)));
      return found;
    });
    if (findings.length > 0) return findings;
    return [ok(`${chain.name} tokens`, `${tokens.length}, each as its contract says`)];
  } catch (rawError) {
    const { message } = coerceError(rawError);
    return [warn(`${chain.name} tokens`, `Not looked at: ${message}`, "Mend the nodes first.")];
  } finally {
    await nodes.close();
  }
}

/** What is not well with it. */
async function checkToken(
  chain: ChainConfig,
  asset: Token,
  nodes: ChainNodes,
  signal: AbortSignal,
): Promise<Finding[]> {
  const part = `${chain.name} ${asset.currency}`;
  const { decimals } = await nodes.tokenWords(asset.token, signal);
  const balances = asset.amountFrom === "balance" ? await checkBalance(chain, asset, nodes, signal) : [];
  if (decimals === asset.decimals) return balances;
  const finding =
    decimals === null
      ? warn(part, "Its contract does not tell its decimals", "Make sure of the address and the decimals.")
      : fail(
          part,
          `Its contract says it has ${decimals} decimals, the config says ${asset.decimals}`,
          "Write into the config what the contract says, or mend the token's address.",
        );
  return [finding, ...balances];
}

async function checkBalance(
  chain: ChainConfig,
  { currency, token }: Token,
  nodes: ChainNodes,
  signal: AbortSignal,
): Promise<Finding[]> {
  const part = `${chain.name} ${currency}`;
  const head = await nodes.head(signal);
  const askAt = (block: Pick<typeof head, "number" | "hash">) =>
    nodes.balance({ token, holder: token, block }, chain.witnesses, signal);
  const atHead = await askAt(head);
  if (atHead.kind === "untold") {
    const advice = "Its deposits would wait for ever: use other nodes, or say amountFrom: event.";
    return [fail(part, `Balances are not told: ${atHead.reason}`, advice)];
  }
  if (head.number < OUTAGE_BLOCKS) return [];
  const earlier = await nodes.headerByNumber(head.number - OUTAGE_BLOCKS, signal);
  if (earlier === null || (await askAt(earlier)).kind === "told") return [];
  const advice = "After an outage deposits would wait: name an archive node as well.";
  return [warn(part, `Balances of ${OUTAGE_BLOCKS} blocks ago are not told`, advice)];
}
