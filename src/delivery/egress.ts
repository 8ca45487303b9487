/**
 * One HTTP attempt, out of this process and into the merchant's, with every limit there is: allowed addresses
 * only, no redirects, one time limit for all of it, and no more than 64 kB of the answer.
 */
import { coerceError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { isPublicAddress } from "./address-guard.ts";
import { AttemptError, type AttemptOutcome, NO_PHASES } from "./attempt-outcome.ts";
import { assertCallbackUrl } from "./callback-url.ts";
import type { ClientCertificate } from "./client-certificate.ts";
import { createConnections } from "./connections.ts";
import { createDeadlines, type Deadlines } from "./deadlines.ts";
import type { EgressProxy } from "./egress-proxy.ts";
import { createGuardedConnector } from "./guarded-connector.ts";
import {
  type EgressLimits,
  failed,
  HttpAttempt,
  type HttpAttemptParts,
  type OnOutcome,
} from "./http-attempt.ts";
import { createHostResolver, type ResolveHost, resolveBySystem } from "./resolve-host.ts";

export interface CallbackRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  /** For the attempt as a whole. */
  readonly timeoutMs: number;
}

export interface Egress {
  /**
   * Never throws: whatever happens is an outcome, which may be told before this returns. The listener is called from
   * within what reads the answer, so that the next request goes out with the answers of the same turn.
   */
  begin(request: CallbackRequest, onOutcome: OnOutcome): void;
  /** The same as a promise, which never rejects. */
  attempt(request: CallbackRequest): Promise<AttemptOutcome>;
  /** Ends every attempt under way (they come back as `local`) and closes all connections. */
  destroy(): Promise<void>;
}

export interface EgressOptions {
  /** Plain http and private addresses too: a developer's machine only. */
  readonly allowPrivateTargets: boolean;
  readonly limits?: EgressLimits;
  readonly clock: Clock;
  readonly isAllowedAddress?: (address: string) => boolean;
  readonly resolve?: ResolveHost;
  readonly ca?: string;
  readonly clientCertificate?: ClientCertificate | undefined;
  readonly proxy?: EgressProxy | undefined;
}

const DEFAULT_LIMITS: EgressLimits = {
  connectTimeoutMs: 10_000,
  headersTimeoutMs: Number.POSITIVE_INFINITY,
  bodyTimeoutMs: 5_000,
};

export function createEgress(options: EgressOptions): Egress {
  const { allowPrivateTargets, clock, limits = DEFAULT_LIMITS } = options;
  const connector = createGuardedConnector({
    isAllowedAddress: options.isAllowedAddress ?? (allowPrivateTargets ? () => true : isPublicAddress),
    resolve: options.resolve ?? (allowPrivateTargets ? resolveBySystem : createHostResolver()),
    connectTimeoutMs: limits.connectTimeoutMs,
    ca: options.ca,
    clientCertificate: options.clientCertificate,
    proxy: options.proxy,
    clock,
  });
  const connections = createConnections(connector);
  const targets = createTargets(allowPrivateTargets);
  const parts = { connections, targets, deadlines: createDeadlines(clock), clock, limits };
  return {
    begin: (request, onOutcome) => begin(parts, request, onOutcome),
    attempt: (request) => new Promise((resolve) => begin(parts, request, resolve)),
    destroy: () => connections.destroy(),
  };
}

interface BeginParts extends HttpAttemptParts {
  readonly deadlines: Deadlines;
  readonly targets: (url: string) => Target;
}

/** Without promises in it: of thousands of attempts a second, each of them would be paid for. */
function begin(parts: BeginParts, request: CallbackRequest, onOutcome: OnOutcome): void {
  const { url, headers, body, timeoutMs } = request;
  const startedAt = parts.clock.monotonic();
  let target: Target;
  try {
    target = parts.targets(url);
  } catch (rawError) {
    onOutcome(failed(coerceError(rawError), Math.round(parts.clock.monotonic() - startedAt), NO_PHASES));
    return;
  }
  const connection = parts.connections.take(target.origin);
  const sent = { path: target.path, method: "POST" as const, headers, body };
  const attempt = new HttpAttempt(parts, sent, connection, { startedAt, timeoutMs }, onOutcome);
  parts.deadlines.watch(attempt);
  attempt.send();
}

/** Of a URL that may be called. */
interface Target {
  readonly origin: string;
  readonly path: string;
}

const MAX_TARGETS = 1_000;

/**
 * Reads and checks URLs, and remembers what came of those that may be called: it follows from their text alone. Where
 * their names lead to is looked at for each connection.
 */
function createTargets(allowPrivateTargets: boolean): (url: string) => Target {
  const known = new Map<string, Target>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const { origin, pathname, search } = readUrl(text, allowPrivateTargets);
    const target = { origin, path: pathname + search };
    if (known.size >= MAX_TARGETS) known.clear();
    known.set(text, target);
    return target;
  };
}

function readUrl(text: string, allowPrivateTargets: boolean): URL {
  try {
    return assertCallbackUrl(text, { allowPrivateTargets });
  } catch (rawError) {
    throw new AttemptError("invalid_url", "the URL may not be called", rawError);
  }
}
