/** What is wrong with a node, in one sentence for people. */
import type { NodeStatus } from "./node-record.ts";

/** `null` when nothing is. Never holds a secret: an error's message does not. */
export function nodeProblem(node: NodeStatus): string | null {
  if (node.lacksTraces)
    return `${node.name} offers no traces, which internal: trace needs: it is asked for headers only`;
  if (node.state === "ok" || node.state === "unasked") return null;
  return node.lastError?.message ?? `It is ${node.state}`;
}
