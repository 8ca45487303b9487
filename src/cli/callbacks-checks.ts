/** The way out of callbacks, as `doctor` looks at it: the egress proxy, and the certificate shown to endpoints. */
import { X509Certificate } from "node:crypto";
import { coerceError } from "../core/errors.ts";
import { classifyError } from "../delivery/attempt-outcome.ts";
import { readClientCertificate } from "../delivery/client-certificate.ts";
import { openTunnel, readProxyUrl } from "../delivery/egress-proxy.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Config } from "../runtime/config/config.ts";
import { hideUrl } from "../runtime/config/hide-url.ts";
import { type Finding, fail, ok, warn } from "./doctor-checks.ts";

export async function checkCallbacks(parts: {
  readonly config: Pick<Config, "callbacks">;
  readonly clock: Clock;
}): Promise<Finding[]> {
  return [...(await checkProxy(parts, TIMEOUT_MS)), ...(await checkCertificate(parts))];
}

const TIMEOUT_MS = 10_000;
/** No name under `.invalid` is anybody's (RFC 6761, 6.4): the proxy reaches nobody, and says so if it is well. */
const NOBODY = { address: "depositd.invalid", port: 443 };

/** Nothing where there is none. */
export async function checkProxy(
  { config: { callbacks }, clock }: Parameters<typeof checkCallbacks>[0],
  timeoutMs: number,
): Promise<Finding[]> {
  if (callbacks.proxyUrl === null) return [];
  const part = "egress proxy";
  const where = hideUrl(callbacks.proxyUrl);
  const problem = await askProxy(callbacks.proxyUrl, clock, timeoutMs);
  if (problem === null) return [ok(part, `${where} answers`)];
  const isRefused = problem === "PROXY_407";
  const found = isRefused ? `${where} wants other credentials: ${problem}` : `${where}: ${problem}`;
  const advice = isRefused
    ? "Set user and password in callbacks.proxy. Until then callbacks wait, and use up no attempts."
    : "Check callbacks.proxy and the proxy. Until it answers callbacks wait, and use up no attempts.";
  return [fail(part, found, advice)];
}

/** @returns what is wrong with it; `null`: it answers, if only with a refusal */
async function askProxy(proxyUrl: string, clock: Clock, timeoutMs: number): Promise<string | null> {
  const done = new AbortController();
  const answered = new Promise<string | null>((resolve) => {
    const giveUp = openTunnel(
      readProxyUrl(proxyUrl),
      NOBODY,
      () => undefined,
      (error, socket) => {
        done.abort();
        socket?.destroy();
        resolve(error === null ? null : problemOf(error));
      },
    );
    void clock.sleep(timeoutMs, done.signal).then(() => {
      if (done.signal.aborted) return;
      resolve(`no answer within ${timeoutMs / 1_000} s`);
      giveUp();
    });
  });
  return answered;
}

function problemOf(error: Error): string | null {
  const { errorClass, errorCode } = classifyError(error);
  if (errorClass !== "proxy" || isRefusalOfNobody(errorCode)) return null;
  return errorCode ?? error.message;
}

/** It took us for somebody who may ask. */
function isRefusalOfNobody(code: string | null): boolean {
  return code !== "PROXY_407" && /^PROXY_\d{3}$/.test(code ?? "");
}

const SOON_MS = 14 * 86_400_000;

async function checkCertificate({
  config: { callbacks },
  clock,
}: Parameters<typeof checkCallbacks>[0]): Promise<Finding[]> {
  if (callbacks.clientCertificate === null) return [];
  const part = "client cert";
  try {
    const { cert } = await readClientCertificate(callbacks.clientCertificate);
    const until = new Date(new X509Certificate(cert).validTo);
    const leftMs = until.getTime() - clock.now();
    const found = `Valid until ${until.toISOString().slice(0, 10)}`;
    if (leftMs > SOON_MS) return [ok(part, found)];
    const advice = "Put a new one in its place and restart: endpoints that ask for one refuse it afterwards.";
    return [leftMs > 0 ? warn(part, found, advice) : fail(part, found, advice)];
  } catch (rawError) {
    return [
      fail(part, coerceError(rawError).message, "Mend callbacks.clientCertificate: a start refuses it."),
    ];
  }
}
