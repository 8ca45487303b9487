/** Names more tokens in the config of a running daemon. */
import type { Address } from "../core/hex.ts";
import type { DaemonConfig } from "../testing/daemon-config.ts";
import type { Rig } from "./rig.ts";

export interface ListedToken {
  readonly currency: string;
  readonly address: Address;
  readonly decimals?: number;
  readonly minimum?: string;
  readonly amountFrom?: "event" | "balance";
}

/** The config of the rig with these tokens beside its own; each has 6 decimals if it does not say. */
export function withTokens({ config }: Rig, tokens: readonly ListedToken[]): DaemonConfig {
  const listed = tokens.map((token) => ({ decimals: 6, ...token }));
  const chains = config.chains.map((chain) => ({
    ...chain,
    tokens: [...(chain["tokens"] as object[]), ...listed],
  }));
  return { ...config, chains };
}

/** Starts the daemon anew with them. */
export async function listTokens(rig: Rig, tokens: readonly ListedToken[]): Promise<void> {
  await rig.daemon.kill("SIGTERM");
  await rig.daemon.configure(withTokens(rig, tokens));
  await rig.daemon.start();
}
