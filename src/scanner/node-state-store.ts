/** What the daemon that follows a chain reports of its nodes. Written by its holder only, read by `status`. */
import type { Sql } from "../db/database.ts";
import type { NodeState, NodeStatus } from "../rpc/node-record.ts";

export interface ReportedNode {
  readonly chainId: number;
  readonly node: string;
  readonly state: NodeState;
  readonly isLeading: boolean;
  readonly headNumber: bigint | null;
  readonly headAt: Date | null;
  readonly latencyMs: number | null;
  readonly requestLimit: number;
  /** `code=count` since the start of the daemon that reports. */
  readonly errors: readonly string[];
  readonly problem: string | null;
  readonly reportedBy: string;
  readonly reportedAt: Date;
}

/** A node that is not in the config any more is forgotten after this, by whoever follows its chain. */
const FORGET_AFTER = "1 minute";

/**
 * Writes how the nodes of those chains are that the holder follows; of other chains it says nothing.
 *
 * @param problemOf what a node fails with now, in a sentence without secrets
 */
export async function reportNodes(
  sql: Sql,
  holder: string,
  nodesOf: Iterable<readonly [chainId: number, nodes: readonly NodeStatus[]]>,
  problemOf: (node: NodeStatus) => string | null,
): Promise<void> {
  const rows = [...nodesOf].flatMap(([chainId, nodes]) =>
    nodes.map((node, position) => ({ chainId, position, node })),
  );
  await sql.query(
    `INSERT INTO node_states (chain_id, node, position, state, is_leading, head_number, head_at, latency_ms,
       request_limit, errors, problem, reported_by, reported_at)
     SELECT n.chain_id, n.node, n.position, n.state, n.is_leading, n.head_number, n.head_at, n.latency_ms,
       n.request_limit, CASE n.errors WHEN '' THEN '{}' ELSE string_to_array(n.errors, ',') END, n.problem, $1, now()
     FROM unnest($2::bigint[], $3::text[], $4::int[], $5::text[], $6::boolean[], $7::bigint[], $8::timestamptz[],
       $9::int[], $10::int[], $11::text[], $12::text[])
       AS n(chain_id, node, position, state, is_leading, head_number, head_at, latency_ms, request_limit, errors, problem)
     JOIN chains c ON c.chain_id = n.chain_id AND c.lease_holder = $1
     ON CONFLICT (chain_id, node) DO UPDATE SET position = excluded.position, state = excluded.state,
       is_leading = excluded.is_leading, head_number = excluded.head_number, head_at = excluded.head_at,
       latency_ms = excluded.latency_ms, request_limit = excluded.request_limit, errors = excluded.errors,
       problem = excluded.problem, reported_by = excluded.reported_by, reported_at = excluded.reported_at`,
    [
      holder,
      rows.map(({ chainId }) => chainId),
      rows.map(({ node }) => node.name),
      rows.map(({ position }) => position),
      rows.map(({ node }) => node.state),
      rows.map(({ node }) => node.isLeading),
      rows.map(({ node }) => node.headNumber),
      rows.map(({ node }) => node.headAt),
      rows.map(({ node }) => (node.latencyMs === null ? null : Math.round(node.latencyMs))),
      rows.map(({ node }) => node.requests.limit),
      rows.map(({ node }) => countsText(node).join(",")),
      rows.map(({ node }) => problemOf(node)),
    ],
  );
  await sql.query(
    `DELETE FROM node_states s USING chains c
     WHERE c.chain_id = s.chain_id AND c.lease_holder = $1 AND s.reported_at < now() - interval '${FORGET_AFTER}'`,
    [holder],
  );
}

function countsText({ errorCounts }: NodeStatus): string[] {
  return Object.entries(errorCounts).map(([code, count]) => `${code}=${count}`);
}

interface NodeStateRow {
  chain_id: bigint;
  node: string;
  state: NodeState;
  is_leading: boolean;
  head_number: bigint | null;
  head_at: Date | null;
  latency_ms: number | null;
  request_limit: number;
  errors: string[];
  problem: string | null;
  reported_by: string;
  reported_at: Date;
}

/** In the order of the config. */
export async function listReportedNodes(sql: Sql): Promise<ReportedNode[]> {
  const rows = await sql.query<NodeStateRow>("SELECT * FROM node_states ORDER BY chain_id, position, node");
  return rows.map((row) => ({
    chainId: Number(row.chain_id),
    node: row.node,
    state: row.state,
    isLeading: row.is_leading,
    headNumber: row.head_number,
    headAt: row.head_at,
    latencyMs: row.latency_ms,
    requestLimit: row.request_limit,
    errors: row.errors,
    problem: row.problem,
    reportedBy: row.reported_by,
    reportedAt: row.reported_at,
  }));
}
