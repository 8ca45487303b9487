/** How every part of this process is, for `/readyz`. */
import { callbackNotes, callbacksReadiness } from "./app-callbacks.ts";
import { coerceError, DepositdError } from "./core/errors.ts";
import type { Database } from "./db/database.ts";
import type { DelivererHealth } from "./flow/deliver-callbacks.ts";
import { finalityWarnings } from "./flow/finality-warnings.ts";
import type { LoadProgress } from "./flow/watch-addresses.ts";
import { chainNotes } from "./http/chain-notes.ts";
import type { ChainReadiness, NodeReadiness, PartReadiness, Readiness } from "./http/readiness.ts";
import type { SenderListState } from "./review/sender-lists.ts";
import { nodeProblem } from "./rpc/node-problem.ts";
import type { NodeStatus } from "./rpc/node-record.ts";
import type { ChainConfig } from "./runtime/config/config.ts";
import type { WorkerHealth } from "./runtime/supervisor.ts";
import { type ChainState, listChainStates } from "./scanner/chain-store.ts";

export interface ReadinessParts {
  readonly database: Database;
  readonly chains: readonly ChainConfig[];
  /** What keeps the daemon from starting its work, if anything does. */
  startProblem(): string | null;
  pingQueue(): Promise<void>;
  /** How far the watched addresses are loaded, while they are: no chain is followed before. */
  loadProgress(): LoadProgress | null;
  senderLists(): readonly SenderListState[];
  /** `null`: this process delivers nothing, or not yet. */
  deliverer(): DelivererHealth | null;
  nodesOf(chainId: number): readonly NodeStatus[];
  workers(): readonly WorkerHealth[];
  /** Milliseconds since 1970. */
  now(): number;
}

const fine: PartReadiness = { ready: true, problem: null };

export async function readReadiness(parts: ReadinessParts): Promise<Readiness> {
  const startProblem = parts.startProblem();
  const [states, queue] = await Promise.all([readStates(parts.database), probe(() => parts.pingQueue())]);
  const database = "problem" in states ? states : fine;
  const loading = loadProblem(parts.loadProgress());
  const chains = parts.chains.map((chain) => {
    const state = "problem" in states ? undefined : states.get(chain.id);
    return { ...chainReadiness(chain, state, parts.nodesOf(chain.id), parts.now()), ...loading };
  });
  const workers = parts.workers().map((worker) => ({ name: worker.name, ...workerProblem(worker) }));
  const starting: PartReadiness = startProblem === null ? database : { ready: false, problem: startProblem };
  const deliverer = parts.deliverer();
  const callbacks = callbacksReadiness(deliverer);
  const all: readonly PartReadiness[] = [starting, queue, ...chains, callbacks, ...workers];
  const notes = [...parts.senderLists().flatMap(listNote), ...callbackNotes(deliverer)];
  return {
    ready: all.every((part) => part.ready),
    database: starting,
    queue,
    chains,
    callbacks,
    workers,
    notes,
  };
}

/** What was read before goes on holding deposits, so the process is ready all the same. */
function listNote({ problem, addressCount, readAt }: SenderListState): string[] {
  if (problem === null) return [];
  return [
    `${problem}; the ${addressCount} addresses read at ${new Date(readAt).toISOString()} stay in force`,
  ];
}

async function readStates(database: Database): Promise<Map<number, ChainState> | PartReadiness> {
  try {
    const states = await listChainStates(database);
    return new Map(states.map((state) => [state.chainId, state]));
  } catch (rawError) {
    return { ready: false, problem: problemText(rawError) };
  }
}

async function probe(ask: () => Promise<void>): Promise<PartReadiness> {
  try {
    await ask();
    return fine;
  } catch (rawError) {
    return { ready: false, problem: problemText(rawError) };
  }
}

/** Over a chain's own problem: whatever that is, it waits for this first. */
function loadProblem(progress: LoadProgress | null): PartReadiness | null {
  if (progress === null) return null;
  const { loaded, total } = progress;
  return { ready: false, problem: `It is loading the watched addresses: ${loaded} of ${total}` };
}

function chainReadiness(
  chain: ChainConfig,
  state: ChainState | undefined,
  nodes: readonly NodeStatus[],
  now: number,
): ChainReadiness {
  const asNumber = (number: bigint | null | undefined) => (number == null ? null : Number(number));
  const head = state?.headNumber ?? null;
  const cursor = state?.cursorNumber ?? null;
  return {
    ...chainProblem(state, nodes),
    chainId: chain.id,
    name: chain.name,
    state: cursor === null ? "starting" : (state?.state ?? "starting"),
    headNumber: asNumber(head),
    cursorNumber: asNumber(cursor),
    lagBlocks: head === null || cursor === null ? null : Math.max(0, Number(head - cursor)),
    safeNumber: asNumber(state?.safeNumber),
    finalizedNumber: asNumber(state?.finalizedNumber),
    safeAt: state?.safeAt?.toISOString() ?? null,
    finalizedAt: state?.finalizedAt?.toISOString() ?? null,
    cursorAt: state?.cursorAt?.toISOString() ?? null,
    leaseHolder: state?.leaseHolder ?? null,
    verification: {
      level: state?.verification.level ?? null,
      expected: state?.verification.expected ?? null,
      alarm: state?.verification.alarm ?? null,
    },
    witnesses: { wanted: chain.witnesses, number: asNumber(state?.witnessedNumber) },
    notes: state === undefined ? [] : [...chainNotes(state), ...finalityWarnings(chain, state, now)],
    nodes: nodes.map(nodeReadiness),
  };
}

/** A chain is well when it is followed and one of its nodes can be asked for its blocks. */
function chainProblem(state: ChainState | undefined, nodes: readonly NodeStatus[]): PartReadiness {
  if (state?.state === "halted") return { ready: false, problem: state.stateReason };
  const problems = nodes.map(nodeProblem);
  const isDeaf = nodes.length > 0 && problems.every((problem) => problem !== null);
  if (isDeaf) return { ready: false, problem: problems[0] ?? null };
  if (state === undefined || state.cursorNumber === null)
    return { ready: false, problem: "It has not begun to follow the chain" };
  return fine;
}

function nodeReadiness(node: NodeStatus): NodeReadiness {
  const problem = nodeProblem(node);
  return {
    node: node.name,
    ready: problem === null,
    problem,
    state: node.state,
    leading: node.isLeading,
    headNumber: node.headNumber === null ? null : Number(node.headNumber),
    latencyMs: node.latencyMs === null ? null : Math.round(node.latencyMs),
    requestLimit: node.requests.limit,
    errors: node.errorCounts,
  };
}

function workerProblem(worker: WorkerHealth): PartReadiness {
  if (worker.state === "running" || worker.state === "stopped") return fine;
  return { ready: false, problem: worker.error ?? `It is ${worker.state}` };
}

function problemText(rawError: unknown): string {
  const error = coerceError(rawError);
  return error instanceof DepositdError ? error.message : `${error.name}: ${error.message}`;
}
