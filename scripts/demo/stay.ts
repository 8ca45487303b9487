/** `--stay`: what to try by hand while everything is up. */
import { USERS } from "./cast.ts";
import type { Stage } from "./stage.ts";

/** Blocks come by themselves from now on, so that deposits made by hand get deep enough. */
export async function invite(stage: Stage): Promise<void> {
  const { anvil, apiKey, cast, configFile, daemon, merchant, narrator } = stage;
  await anvil.request("evm_setIntervalMining", [1]);
  const [user] = USERS;
  const deposit = {
    jsonrpc: "2.0",
    id: 1,
    method: "eth_sendTransaction",
    params: [{ from: anvil.account(0).address, to: cast.addressOf[user], value: "0xde0b6b3a7640000" }],
  };
  const lines = [
    ["The API", `${daemon.url}  (also /openapi.json, /readyz, /metrics)`],
    ["API key", apiKey],
    ["The merchant", merchant.url],
    ["The node", `${anvil.url}  (a block every second)`],
    ["The config", configFile],
    ["The daemon", `pid ${daemon.pid()}: kill -9 it, and see`],
  ];
  const examples = [
    [
      `Send 1 ETH to ${user}, and watch it arrive:`,
      `curl -s ${anvil.url} -H 'content-type: application/json' -d '${JSON.stringify(deposit)}'`,
    ],
    [
      `${user}'s balances:`,
      `curl -s ${daemon.url}/v1/users/${user}/balances -H 'authorization: Bearer ${apiKey}'`,
    ],
    [
      "The deposits that wait:",
      `curl -s '${daemon.url}/v1/deposits?status=pending' -H 'authorization: Bearer ${apiKey}'`,
    ],
    ["What operators see:", `npx depositd status --config '${configFile}'`],
  ];
  narrator.title("Everything stays up. Ctrl-C ends it.");
  for (const [name = "", value = ""] of lines) narrator.text(`  ${name.padEnd(13)} ${value}`);
  for (const [what = "", command = ""] of examples)
    narrator.text(`\n  ${narrator.style("dim", `# ${what}`)}\n  ${command}`);
  narrator.text();
}
