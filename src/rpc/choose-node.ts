/** Which node is asked first. Pure: it is told how each of them stands. */
import type { BlockHeader } from "../core/chain.ts";

export interface NodeStanding {
  /** It failed a moment ago. */
  readonly isResting: boolean;
  /** Its head as far as it is known and fresh; `null` when nothing can be said. */
  readonly head: BlockHeader | null;
  /** It cannot give traces that are wanted: no use for whole blocks. */
  readonly lacksTraces: boolean;
  /** How much it has to do for the catching up, in parts of what it can at once. */
  readonly load: number;
}

/**
 * A node that is so many blocks ahead of another is on what is clearly the chain. One or two are ahead by chance:
 * of two branches that compete the longer one changes with every block.
 */
export const CLEAR_LEAD = 3n;

/** So far below the head no two nodes are of different minds: they are asked in any order. */
const NEAR_HEAD = 64n;

/**
 * For the head: the leader, whose branch we follow; unless another is clearly ahead, or one that the config names
 * before it stands on the same branch. All others after it, as the config names them, the resting ones last.
 *
 * @returns indexes, for each node one
 */
export function orderForHead(nodes: readonly NodeStanding[], leader: number): number[] {
  const first = preferredLeader(nodes, leader);
  const others = nodes.map((_, index) => index).filter((index) => index !== first);
  return restingLast(nodes, [first, ...others]);
}

function preferredLeader(nodes: readonly NodeStanding[], leader: number): number {
  const led = nodes[leader];
  if (led === undefined || led.head === null) return leader;
  const leadersHead = led.head;
  const isClearlyAhead = ({ isResting, head }: NodeStanding) =>
    !isResting && head !== null && head.number >= leadersHead.number + CLEAR_LEAD;
  const ahead = nodes.findIndex(isClearlyAhead);
  if (ahead >= 0) return ahead;
  const isPreferred = ({ isResting, head }: NodeStanding, index: number) =>
    index < leader && !isResting && head !== null && isSameBranch(leadersHead, head);
  const preferred = nodes.findIndex(isPreferred);
  return preferred >= 0 ? preferred : leader;
}

/** The same block, or one the parent of the other. Further apart nothing can be said from two headers. */
export function isSameBranch(one: BlockHeader, other: BlockHeader): boolean {
  return one.hash === other.hash || one.parentHash === other.hash || other.parentHash === one.hash;
}

/** For a block at the head: the leader, then whoever can have it. */
export function orderForBlock(
  nodes: readonly NodeStanding[],
  leader: number,
  number: bigint | null,
): number[] {
  return withoutHopeless(nodes, orderForHead(nodes, leader), number);
}

/**
 * For catching up: the node with the most room first, so that all of them share the work. Near the head the
 * leader, as others may be on other branches there.
 */
export function orderForBackfill(
  nodes: readonly NodeStanding[],
  leader: number,
  number: bigint,
  leadersHead: bigint | null,
): number[] {
  if (leadersHead === null || number + NEAR_HEAD > leadersHead) return orderForBlock(nodes, leader, number);
  const byLoad = nodes
    .map((node, index) => ({ index, load: node.load }))
    .sort((a, b) => a.load - b.load || a.index - b.index)
    .map(({ index }) => index);
  return withoutHopeless(nodes, restingLast(nodes, byLoad), number);
}

/** A tired node is better than none. */
function restingLast(nodes: readonly NodeStanding[], order: readonly number[]): number[] {
  const isResting = (index: number) => nodes[index]?.isResting === true;
  return [...order.filter((index) => !isResting(index)), ...order.filter(isResting)];
}

/** One that cannot have the block, or not all of it, is not asked for it; unless none of them can. */
function withoutHopeless(
  nodes: readonly NodeStanding[],
  order: readonly number[],
  number: bigint | null,
): number[] {
  const canHave = (index: number) => {
    const node = nodes[index];
    if (node === undefined || node.lacksTraces) return false;
    return number === null || node.head === null || node.head.number >= number;
  };
  const hopeful = order.filter(canHave);
  return hopeful.length > 0 ? hopeful : [...order];
}
