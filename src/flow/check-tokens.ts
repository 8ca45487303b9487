/** Before a chain is followed, and before a changed config is taken: are its tokens what the config says they are? */
import type { Asset } from "../core/asset.ts";
import { FatalError } from "../core/errors.ts";
import { checksumAddress } from "../core/hex.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { Logger } from "../runtime/logger.ts";

export interface TokenCheck {
  readonly chain: { readonly assets: readonly Asset[] };
  readonly nodes: Pick<ChainNodes, "tokenWords">;
  readonly logger: Logger;
}

/**
 * Wrong decimals would make every amount a thousand or a trillion times what it is, so they are refused. A symbol is
 * only told: currencies are the merchant's own words.
 *
 * @throws {FatalError} `token_mismatch`
 */
export async function checkTokens({ chain, nodes, logger }: TokenCheck, signal: AbortSignal): Promise<void> {
  await Promise.all(chain.assets.map((asset) => checkToken(asset, { nodes, logger }, signal)));
}

/** The same, of a changed config: only the tokens that it adds, or says something else of. */
export async function checkChangedTokens(
  { chain, nodes, logger }: TokenCheck,
  inForce: readonly Asset[],
  signal: AbortSignal,
): Promise<void> {
  const isChecked = ({ token, decimals, currency }: Asset) =>
    inForce.some((each) => each.token === token && each.decimals === decimals && each.currency === currency);
  const assets = chain.assets.filter((asset) => !isChecked(asset));
  await checkTokens({ chain: { assets }, nodes, logger }, signal);
}

async function checkToken(
  { chainId, token, currency, decimals }: Asset,
  { nodes, logger }: Omit<TokenCheck, "chain">,
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
