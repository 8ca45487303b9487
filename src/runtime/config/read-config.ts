/** Reads, checks and freezes the configuration. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { coerceError, InputError } from "../../core/errors.ts";
import { toChainConfig } from "./chain-config.ts";
import type { Config } from "./config.ts";
import type { ConfigFault } from "./config-path.ts";
import { readTree } from "./config-tree.ts";
import { crossCheck } from "./cross-checks.ts";
import type { Environment } from "./environment.ts";
import { ConfigInvalidError, faultsOfIssues } from "./faults.ts";
import { type FileShape, fileShape } from "./file-shape.ts";
import { readKnownChains } from "./known-chains.ts";
import { toReviewConfig } from "./review-config.ts";

const DEFAULT_FILE = "config/depositd.yaml";

export interface ConfigSource {
  /** Else `DEPOSITD_CONFIG`, else `config/depositd.yaml`. */
  readonly file?: string | undefined;
  /** Of `readEnvironment`. */
  readonly env: Environment;
  /** What relative paths, also those within the file, start from. */
  readonly cwd: string;
}

/**
 * @throws {InputError} `config_unreadable` when there is no such file.
 * @throws {ConfigInvalidError} `config_invalid` with every fault, when there is one.
 */
export async function readConfig(source: ConfigSource): Promise<Config> {
  const named = source.file ?? (source.env["DEPOSITD_CONFIG"] || DEFAULT_FILE);
  const file = resolve(source.cwd, named);
  const text = await readText(file);
  const knownChains = await readKnownChains();
  const { tree, faults } = readTree(text, source.env);
  if (tree.value === undefined) throw new ConfigInvalidError(file, faults);

  const shape = fileShape.safeParse(tree.value);
  const shapeFaults = faultsOfIssues(shape.error?.issues ?? [], tree);
  const all = sortedFirsts([...faults, ...shapeFaults, ...crossCheck(tree, knownChains)]);
  if (!shape.success || all.length > 0) throw new ConfigInvalidError(file, all);
  const chains = shape.data.chains.map((chain) => toChainConfig(chain, knownChains.get(chain.id)));
  return deepFreeze(toConfig(shape.data, chains, file, source.cwd));
}

function toConfig(shape: FileShape, chains: Config["chains"], file: string, cwd: string): Config {
  const { database, queue, http, callbacks } = shape;
  return {
    file,
    dataDir: resolve(cwd, shape.dataDir),
    logLevel: shape.logLevel,
    database,
    queue,
    http: { ...http, publicUrl: http.publicUrl ?? localUrl(http.host, http.port) },
    callbacks: {
      timeoutMs: callbacks.timeout,
      scheduleMs: callbacks.schedule,
      allowPrivateTargets: callbacks.allowPrivateTargets,
      connectTimeoutMs: callbacks.connectTimeout,
      headersTimeoutMs: callbacks.headersTimeout ?? null,
      bodyTimeoutMs: callbacks.bodyTimeout,
      proxyUrl: callbacks.proxy,
      clientCertificate:
        callbacks.clientCertificate === null
          ? null
          : {
              certFile: resolve(cwd, callbacks.clientCertificate.certFile),
              keyFile: resolve(cwd, callbacks.clientCertificate.keyFile),
            },
      disableAfterMs: callbacks.disableAfter,
      concurrency: callbacks.concurrency,
    },
    review: toReviewConfig(shape.review, chains, cwd),
    sweepIntervalMs: shape.sweepInterval,
    leaseMs: shape.lease,
    shutdownGraceMs: shape.shutdownGrace,
    chains,
  };
}

/** Where a browser on this machine finds a server that listens on `host`. */
function localUrl(host: string, port: number): string {
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (rawError) {
    const reason = coerceError(rawError);
    const isMissing = "code" in reason && reason.code === "ENOENT";
    const hint = isMissing
      ? "there is no such file; name one with --config or DEPOSITD_CONFIG"
      : reason.message;
    throw new InputError("config_unreadable", `The config ${file} cannot be read: ${hint}`, { file });
  }
}

/** In the order of their paths. One is enough for a place: a variable that is not set is not a wrong URL as well. */
function sortedFirsts(faults: readonly ConfigFault[]): ConfigFault[] {
  const byPath = new Map<string, ConfigFault>();
  for (const fault of faults) if (!byPath.has(fault.path)) byPath.set(fault.path, fault);
  return [...byPath.values()].sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true }));
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
