/** The daemon's configuration for this run, as a file like any other. */
import { stringify } from "yaml";
import type { Anvil } from "../../src/testing/anvil.ts";
import { type Cast, ETH, POLICY, USDT } from "./cast.ts";

// The daemon reads it itself, as from any config.
const FROM_ENVIRONMENT = `\${REDIS_URL:-}`;

const { credit, unlock, largeFrom, largeCredit } = POLICY;

/** @param port of the HTTP API */
export function demoConfig(anvil: Anvil, cast: Cast, dataDir: string, port: number): string {
  const config = {
    database: { url: "" },
    queue: { url: FROM_ENVIRONMENT },
    dataDir,
    http: { host: "127.0.0.1", port, publicUrl: `http://127.0.0.1:${port}` },
    callbacks: {
      // Twice this and ten seconds later, what a killed daemon was just sending is sent again.
      timeout: "5s",
      // Days are too long for a demo.
      schedule: ["0s", "200ms", "500ms", "1s", "2s", "5s", "10s", "30s"],
      // The merchant is on this machine.
      allowPrivateTargets: true,
    },
    // A daemon that was killed had the chain's lease: the next one waits for its end.
    lease: "1s",
    sweepInterval: "1s",
    chains: [
      {
        id: anvil.chainId,
        name: "demo",
        nodes: [{ url: anvil.url, ws: anvil.wsUrl }],
        blockTime: "1s",
        pollInterval: "100ms",
        confirmations: { credit, unlock },
        native: { currency: ETH.currency, decimals: ETH.decimals, minimum: ETH.minimum, internal: "trace" },
        tokens: [
          {
            currency: USDT.currency,
            address: cast.usdt,
            decimals: USDT.decimals,
            minimum: USDT.minimum,
            confirmations: [
              { upTo: largeFrom, credit, unlock },
              { credit: largeCredit, unlock: "finalized" },
            ],
          },
        ],
      },
    ],
  };
  return `# Written by the demo for this run. config/depositd.yaml explains each key.\n${stringify(config)}`;
}
