/** How this process's callbacks are, for `/readyz`: what holds them up that is not their endpoints'. */
import type { DelivererHealth } from "./flow/deliver-callbacks.ts";
import { SECRETS_ADVICE } from "./flow/watch-secrets.ts";
import type { PartReadiness } from "./http/readiness.ts";

/** Not ready only when no callback at all can go out. */
export function callbacksReadiness(deliverer: DelivererHealth | null): PartReadiness {
  const problem = deliverer === null ? null : (proxyProblem(deliverer) ?? keyProblem(deliverer));
  return { ready: problem === null, problem };
}

/** What holds up those of some endpoints. One merchant's address, or one damaged secret, makes no process unready. */
export function callbackNotes(deliverer: DelivererHealth | null): string[] {
  if (deliverer === null) return [];
  const { proxy, refusedCount, secrets } = deliverer;
  const refused = `The egress proxy ${proxy} refuses the callbacks of ${refusedCount} endpoints`;
  const isSomeLost = secrets !== null && secrets.lost > 0 && secrets.lost < secrets.total;
  return [...(refusedCount > 0 ? [refused] : []), ...(isSomeLost ? [lostText(secrets)] : [])];
}

function proxyProblem({ proxyAway }: DelivererHealth): string | null {
  if (proxyAway === null) return null;
  const { proxy, errorCode, since } = proxyAway;
  const why = errorCode === null ? "" : ` (${errorCode})`;
  return `The egress proxy ${proxy} cannot be reached${why} since ${new Date(since).toISOString()}: callbacks wait`;
}

function keyProblem({ secrets }: DelivererHealth): string | null {
  return secrets !== null && secrets.total > 0 && secrets.lost === secrets.total ? lostText(secrets) : null;
}

function lostText({ lost, total, lostKeyIds }: NonNullable<DelivererHealth["secrets"]>): string {
  const wanted = lostKeyIds.length === 0 ? "" : ` (they are sealed under the key ${lostKeyIds.join(", ")})`;
  return `The secrets of ${lost} of ${total} endpoints cannot be opened${wanted}: their callbacks wait. ${SECRETS_ADVICE}`;
}
