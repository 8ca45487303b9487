/** Before a chain is followed: are its tokens what the config says they are? */
import type { Asset } from "../core/asset.ts";
import { FatalError } from "../core/errors.ts";
import { checksumAddress } from "../core/hex.ts";
import type { FollowerParts } from "./follower-parts.ts";

/**
 * Wrong decimals would make every amount a thousand or a trillion times what it is, so they are refused. A symbol is
 * only told: currencies are the merchant's own words.
 *
 * @throws {FatalError} `token_mismatch`
 */
export async function checkTokens(
  { chain, nodes, logger }: Pick<FollowerParts, "chain" | "nodes" | "logger">,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(chain.assets.map((asset) => checkToken(asset, { nodes, logger }, signal)));
}

async function checkToken(
  { chainId, token, currency, decimals }: Asset,
  { nodes, logger }: Pick<FollowerParts, "nodes" | "logger">,
  signal: AbortSignal,
): Promise<void> {
  if (token === null) return;
  const says = await nodes.tokenWords(token, signal);
  const facts = { chain_id: chainId, token: checksumAddress(token), currency };
  if (says.decimals === null) {
    logger.warn("A token's contract does not tell its decimals: the config's are believed", facts);
  } else if (says.decimals !== decimals) {
    throw new FatalError(
      "token_mismatch",
      `The contract of ${currency} at ${facts.token} says it has ${says.decimals} decimals, the config says ${decimals}`,
      { chainId, token: facts.token, contract: says.decimals, config: decimals },
    );
  }
  if (says.symbol !== null && says.symbol.toLowerCase() !== currency.toLowerCase()) {
    const symbol = says.symbol;
    logger.warn("A token's contract calls it by another name than the config", { ...facts, symbol });
  }
}
