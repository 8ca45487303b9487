/** Keeps in the database how the nodes are doing, for `depositd status`, which asks no daemon. */
import type { Database } from "../db/database.ts";
import { nodeProblem } from "../rpc/node-problem.ts";
import type { NodeStatus } from "../rpc/node-record.ts";
import type { Clock } from "../runtime/clock.ts";
import { reportNodes } from "../scanner/node-state-store.ts";

export interface NodeReportParts {
  readonly database: Database;
  readonly clock: Clock;
  /** This process, as it names itself to the chains it holds. */
  readonly holder: string;
  nodes(): Iterable<readonly [chainId: number, nodes: readonly NodeStatus[]]>;
}

const REPORT_MS = 5_000;

/** Runs until the signal aborts. */
export async function keepReportingNodes(parts: NodeReportParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await reportNodes(parts.database, parts.holder, parts.nodes(), nodeProblem);
    await parts.clock.sleep(REPORT_MS, signal);
  }
}
