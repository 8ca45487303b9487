/** What a node said before, for lies made of old truths: of a branch that was left, or of another block. */
import type { Lie, ProxiedCall, Reply, RpcBody } from "./lies.ts";

export interface NodeMemory {
  /** Tells the truth and keeps it. To be told under all lies. */
  readonly remember: Lie;
  /** The answer that this very question had before, if it had one: a node that stands still, on whatever branch. */
  readonly repeat: Lie;
  /** The answer that some other question of the same method had: parts of other blocks and branches. */
  mixUp(random: () => number): Lie;
}

/** Answers kept for each method. */
const KEPT = 200;

export function createNodeMemory(): NodeMemory {
  const byMethod = new Map<string, Map<string, unknown>>();
  const answersTo = (method: string) => {
    const kept = byMethod.get(method) ?? new Map<string, unknown>();
    byMethod.set(method, kept);
    return kept;
  };
  const truth = async (call: ProxiedCall): Promise<Reply> => {
    const body = await call.forward();
    if (body["result"] === undefined) return { status: 200, body };
    const kept = answersTo(call.method);
    kept.set(JSON.stringify(call.params), body["result"]);
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT) break;
      kept.delete(oldest);
    }
    return { status: 200, body };
  };
  return {
    remember: truth,
    repeat: async (call) => {
      const before = answersTo(call.method).get(JSON.stringify(call.params));
      return before === undefined ? truth(call) : { status: 200, body: answerOf(call, before) };
    },
    mixUp: (random) => async (call) => {
      const all = [...answersTo(call.method).values()];
      const other = all[Math.floor(random() * all.length)];
      return other === undefined ? truth(call) : { status: 200, body: answerOf(call, other) };
    },
  };
}

function answerOf(call: ProxiedCall, result: unknown): RpcBody {
  return { jsonrpc: "2.0", id: call.id, result };
}
