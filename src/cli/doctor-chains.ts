/** What `doctor` finds in the database of the chains that were followed. */
import type { Database } from "../db/database.ts";
import { chainNotes } from "../http/chain-notes.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { type ChainState, listChainStates } from "../scanner/chain-store.ts";
import { type Finding, fail, warn } from "./doctor-checks.ts";

/** Nothing where all of them are well. */
export async function checkChainStates(
  database: Database,
  chains: readonly ChainConfig[],
): Promise<Finding[]> {
  const states = await listChainStates(database);
  return states.filter(({ chainId }) => chains.some(({ id }) => id === chainId)).flatMap(chainFindings);
}

/** @throws nothing; pure */
export function chainFindings(state: ChainState): Finding[] {
  const { chainId, name, stateReason } = state;
  const notes = chainNotes(state).map((note) =>
    warn(name, note, "See docs/verification.md. The chain is followed all the same."),
  );
  if (state.state !== "halted") return notes;
  const advice =
    "Nothing is ingested or credited on it. Find out which branch is right (docs/operations.md, A halted chain), then: " +
    `depositd chain resume --chain ${chainId} --from <first block to ingest again>`;
  return [fail(name, `It is halted: ${stateReason ?? "nobody wrote down why"}`, advice), ...notes];
}
