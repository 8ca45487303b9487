/** The chains that are known without configuring them: `config/chains.yaml`, shipped with the program. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type KnownChain, knownChainsShape } from "./chain-shape.ts";
import { readTree } from "./config-tree.ts";
import { ConfigInvalidError, faultsOfIssues } from "./faults.ts";

/** The same place seen from `src` and from `dist`. */
const FILE = fileURLToPath(new URL("../../../config/chains.yaml", import.meta.url));

/** @throws {InputError} `config_invalid` when the shipped file was edited into something that cannot be read. */
export async function readKnownChains(): Promise<ReadonlyMap<number, KnownChain>> {
  const { tree, faults } = readTree(await readFile(FILE, "utf8"), {});
  const result = knownChainsShape.safeParse(tree.value);
  if (faults.length > 0 || !result.success) {
    throw new ConfigInvalidError(FILE, [...faults, ...faultsOfIssues(result.error?.issues ?? [], tree)]);
  }
  return new Map(result.data.chains.map((chain) => [chain.id, chain]));
}
