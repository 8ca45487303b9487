/** What a person should know of a chain that is followed all the same, one sentence each. */
import type { ChainState } from "../scanner/chain-store.ts";

type Noted = Pick<ChainState, "cursorNumber" | "verification" | "witnesses" | "witnessedNumber">;

export function chainNotes(chain: Noted): string[] {
  const { alarm, level, expected } = chain.verification;
  const alarms = alarm === null ? [] : [`Less is proved than before (${level}, not ${expected}): ${alarm}`];
  return [...alarms, ...witnessNotes(chain)];
}

function witnessNotes({ cursorNumber, witnesses, witnessedNumber }: Noted): string[] {
  if (witnesses === 1 || cursorNumber === null || witnessedNumber === cursorNumber) return [];
  const from = witnessedNumber === null ? "All deposits" : `Deposits above block ${witnessedNumber}`;
  return [`${from} wait until ${witnesses} nodes hold their block and those that make it deep enough`];
}
