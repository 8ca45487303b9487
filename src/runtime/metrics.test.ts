import { expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";

test("shows what was counted, in the words of Prometheus", async () => {
  const metrics = createMetrics();
  metrics.chainCursor.set({ chain_id: 1 }, 123);
  metrics.depositMoves.inc({ chain_id: 1, status: "credited" }, 2);
  const page = await metrics.text();
  expect(page).toContain('depositd_chain_cursor_block{chain_id="1"} 123');
  expect(page).toContain('depositd_deposit_moves_total{chain_id="1",status="credited"} 2');
});

test("counts for itself", async () => {
  createMetrics().reorgs.inc({ chain_id: 1 });
  expect(await createMetrics().text()).not.toContain("depositd_reorgs_total{");
});

test("has no label that grows with users, addresses or endpoints", async () => {
  // Nodes and files (of senders) are those that the config names; reasons are the words of `held`.
  const bounded = [
    "chain_id",
    "code",
    "file",
    "method",
    "node",
    "outcome",
    "purpose",
    "queue",
    "reason",
    "route",
    "state",
    "status",
    "tag",
  ];
  const labels = Object.values(createMetrics()).flatMap((metric) =>
    typeof metric === "object" && "labelNames" in metric ? (metric.labelNames as string[]) : [],
  );
  expect([...new Set(labels)].sort()).toEqual(bounded);
});
