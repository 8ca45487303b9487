/** What `doctor` looks at. Each check tells what it found and what to do about it, and throws nothing. */

import { tagsWaitedFor } from "../confirmations/threshold.ts";
import { coerceError, DepositdError } from "../core/errors.ts";
import type { OpenedDatabase } from "../db/open-database.ts";
import { findNativeLogs, isFoundByLogs, missingText } from "../flow/check-native-logs.ts";
import { readServer } from "../http/status-store.ts";
import { createChainNodes } from "../rpc/chain-nodes.ts";
import { createMempoolNodes } from "../rpc/mempool/mempool-nodes.ts";
import type { NodeProbe } from "../rpc/probe.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig, Config } from "../runtime/config/config.ts";
import type { Environment } from "../runtime/config/environment.ts";
import { hideUrl } from "../runtime/config/hide-url.ts";
import { findSecretKey } from "../runtime/config/secret-key.ts";
import type { Logger } from "../runtime/logger.ts";
import { createQueue } from "../runtime/queue/queue.ts";

export interface Finding {
  readonly part: string;
  readonly level: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do; `null` when there is nothing to do. */
  readonly advice: string | null;
}

export interface DoctorParts {
  readonly config: Config;
  readonly env: Environment;
  readonly clock: Clock;
  readonly logger: Logger;
}

export const ok = (part: string, found: string): Finding => ({ part, level: "ok", found, advice: null });
export const warn = (part: string, found: string, advice: string): Finding => ({
  part,
  level: "warn",
  found,
  advice,
});
export const fail = (part: string, found: string, advice: string): Finding => ({
  part,
  level: "fail",
  found,
  advice,
});

export function checkedConfig(config: Config): Finding[] {
  const chains = config.chains.map((chain) => `${chain.name} (${chain.id})`).join(", ");
  const findings = [ok("config", `${config.file}: ${chains}`)];
  if (!config.callbacks.allowPrivateTargets) return findings;
  const advice = "Set callbacks.allowPrivateTargets to false anywhere but on a developer's machine.";
  return [...findings, warn("config", "Callbacks may go to private addresses", advice)];
}

export async function checkSecretKey({ config, env }: DoctorParts): Promise<Finding> {
  const part = "secret key";
  try {
    if ((await findSecretKey(config, env)) !== undefined) return ok(part, "32 bytes");
  } catch (rawError) {
    return fail(part, coerceError(rawError).message, "Make one with: openssl rand -hex 32");
  }
  if (config.database.url === null) return ok(part, "None yet: the first start makes secret.key in dataDir");
  return fail(
    part,
    "DEPOSITD_SECRET_KEY is not set",
    "Set it to 32 random bytes in hex: openssl rand -hex 32",
  );
}

const CLOCK_SKEW = { warnMs: 2_000, failMs: 60_000 };

/** @param opened with `migrate: false`, not prepared yet */
export async function checkDatabase(
  opened: OpenedDatabase,
  { config, clock }: DoctorParts,
): Promise<Finding[]> {
  const part = "database";
  const advised: Partial<Record<string, string>> = {
    database_unreachable: "Check database.url, the server and the network between.",
    database_not_migrated: config.database.migrate
      ? "Nothing: `start` will migrate it."
      : "Run: depositd migrate",
    database_too_new: "Run the depositd that made this schema, or a newer one.",
  };
  let schema = ok("schema", "This version's");
  try {
    await opened.prepare();
  } catch (rawError) {
    const error = coerceError(rawError);
    const code = error instanceof DepositdError ? error.code : "internal";
    const advice = advised[code] ?? "See docs/errors.md.";
    if (code !== "database_not_migrated") return [fail(part, error.message, advice)];
    schema = config.database.migrate
      ? warn("schema", "Not there yet", advice)
      : fail("schema", error.message, advice);
  }
  const before = clock.now();
  const server = await readServer(opened.database);
  const skewMs = Math.round(server.time.getTime() - (before + clock.now()) / 2);
  return [
    ok(part, `PostgreSQL ${server.version}, ${whereIs(config.database.url)}`),
    schema,
    clockFinding(skewMs),
  ];
}

function whereIs(url: string | null): string {
  return url === null ? "embedded" : hideUrl(url);
}

/** Leases and due times go by the database's clock, delayed jobs and callback timestamps by this machine's. */
function clockFinding(skewMs: number): Finding {
  const found = `${Math.abs(skewMs)} ms ${skewMs < 0 ? "ahead of" : "behind"} the database's`;
  const advice =
    "Let both machines keep their time by NTP: callbacks carry this clock's time, and their receivers check it.";
  if (Math.abs(skewMs) >= CLOCK_SKEW.failMs) return fail("clock", found, advice);
  return Math.abs(skewMs) >= CLOCK_SKEW.warnMs ? warn("clock", found, advice) : ok("clock", found);
}

export async function checkQueue(
  databaseUrl: string,
  { config, clock, logger }: DoctorParts,
): Promise<Finding> {
  const where = config.queue.url === null ? "on the same PostgreSQL" : hideUrl(config.queue.url);
  const queue = createQueue({ config: config.queue, databaseUrl, logger, clock });
  try {
    await queue.ping();
    return ok("queue", `BullMQ ${where}`);
  } catch (rawError) {
    const advice = "Check queue.url and the server. Meanwhile sweeps do its work, later.";
    return fail("queue", coerceError(rawError).message, advice);
  } finally {
    await queue.close(1_000);
  }
}

const PROBE_TIMEOUT_MS = 20_000;

/** @throws what the question throws, and an error that says how long it was waited for */
export async function withinProbeTime<Answer>(
  clock: Clock,
  ask: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer> {
  const timeout = new AbortController();
  const answered = new AbortController();
  void clock.sleep(PROBE_TIMEOUT_MS, answered.signal).then(() => timeout.abort());
  try {
    return await ask(timeout.signal);
  } catch (rawError) {
    if (!timeout.signal.aborted) throw rawError;
    throw new Error(`No answer within ${PROBE_TIMEOUT_MS / 1000} s`, { cause: rawError });
  } finally {
    answered.abort();
  }
}

export async function checkNodes(chain: ChainConfig, { clock, logger }: DoctorParts): Promise<Finding[]> {
  const nodes = createChainNodes({ chain, clock, logger });
  try {
    const probes = await withinProbeTime(clock, (signal) => nodes.probe(signal));
    const isTraced = probes.some((probe) => probe.traces !== null);
    return probes.flatMap((probe) => nodeFindings(chain, probe, isTraced));
  } catch (rawError) {
    return [
      fail(
        chain.name,
        coerceError(rawError).message,
        "Check the URLs under nodes, and whether this machine reaches them.",
      ),
    ];
  } finally {
    await nodes.close();
  }
}

/** Only where native coins are to be found by their logs. */
export async function checkLogsOfNative(
  chain: ChainConfig,
  { clock, logger }: DoctorParts,
): Promise<Finding[]> {
  if (!isFoundByLogs(chain)) return [];
  const part = `${chain.name} native logs`;
  const nodes = createChainNodes({ chain, clock, logger });
  try {
    const found = await withinProbeTime(clock, (signal) => findNativeLogs(nodes, signal));
    if (found === "missing") return [fail(part, missingText(chain.name), "Say native.source: value.")];
    if (found === "written") return [ok(part, "The newest native transfer wrote its log")];
    return [
      warn(part, "None of the newest blocks has a native transfer", "Make sure that the chain has EIP-7708."),
    ];
  } catch (rawError) {
    return [warn(part, `Not looked at: ${coerceError(rawError).message}`, "Mend the nodes first.")];
  } finally {
    await nodes.close();
  }
}

/** Only where the config asks for it: then some node has to offer it. */
export async function checkMempool(chain: ChainConfig, { clock }: DoctorParts): Promise<Finding[]> {
  if (!chain.mempool) return [];
  const part = `${chain.name} mempool`;
  const nodes = createMempoolNodes({ chain, clock });
  try {
    const probes = await withinProbeTime(clock, (signal) => nodes.probe(signal));
    const offers = probes.flatMap(({ node, method }) => (method === null ? [] : [`${node} by ${method}`]));
    if (offers.length > 0) return [ok(part, offers.join(", "))];
    const problem = probes.find((probe) => probe.problem !== null)?.problem;
    return [fail(part, problem ?? "No node lets its mempool be looked at", MEMPOOL_ADVICE)];
  } catch (rawError) {
    return [fail(part, coerceError(rawError).message, MEMPOOL_ADVICE)];
  } finally {
    await nodes.close();
  }
}

const MEMPOOL_ADVICE =
  "Use a node that offers eth_newPendingTransactionFilter, txpool_content or the pending block, or say mempool: false. Deposits are found all the same.";

const NODE_ADVICE: Partial<Record<string, string>> = {
  wrong_chain: "Check the URL and the chain's id: this node is never followed for it.",
  node_unreachable: "Check the URL, and whether this machine reaches it.",
  node_rate_limited: "Ask the provider for a higher limit, or name a second node.",
  node_method_missing: "Use a node that traces, or say internal: none.",
};

/** @param isTraced some node of the chain traces: this one need not */
function nodeFindings(chain: ChainConfig, probe: NodeProbe, isTraced: boolean): Finding[] {
  const part = `${chain.name} ${probe.node}`;
  // A node that is away, or asks for fewer requests, says the same to every question.
  const told = new Map(probe.problems.map((problem) => [problem.code, problem]));
  const problems = [...told.values()].map((problem) =>
    problem.code === "node_method_missing" && isTraced
      ? warn(part, problem.message, "Nothing: another node traces, and this one is asked for headers only.")
      : fail(part, problem.message, NODE_ADVICE[problem.code] ?? "See docs/errors.md."),
  );
  if (probe.head === null || problems.length > 0) return problems;
  const { head } = probe;
  const needed = tagsWaitedFor(chain.assets);
  const missing = needed.filter((tag) => probe.tags[tag] === null);
  const tags = missing.map((tag) =>
    fail(
      part,
      `It knows no "${tag}" block, which the confirmations wait for`,
      "Wait for a depth instead, or use another node.",
    ),
  );
  // What is final the moment it is mined waits for nothing: right on few chains, a developer's node on the others.
  const instant = needed
    .filter((tag) => (probe.tags[tag] ?? -1n) >= head.number)
    .map((tag) =>
      warn(
        part,
        `It calls its own head "${tag}", so nothing waits for it`,
        `Unless the chain never reorganises, ask for a depth as well: { depth: 12, and: ${tag} }.`,
      ),
    );
  const slow =
    probe.receipts === "eth_getTransactionReceipt"
      ? [
          warn(
            part,
            "It has no eth_getBlockReceipts: receipts are fetched one by one",
            "Use a node that has it: a busy chain cannot be followed like this.",
          ),
        ]
      : [];
  const version = probe.clientVersion === null ? "" : `, ${probe.clientVersion}`;
  return [ok(part, `chain ${chain.id}, head ${head.number}${version}`), ...tags, ...instant, ...slow];
}
