/**
 * The way out through an HTTP proxy of the operator's own (CONNECT, RFC 9110, 9.3.6), for callbacks over https and
 * http alike. The address is looked up and judged here, and the proxy is told that address, not the name: what was
 * checked is what is dialled.
 *
 * Whose failure it is:
 *
 *   no connection to the proxy, no HTTP from it, 407, any other refusal   the proxy's, so ours: class `proxy`
 *   502, 504, or Squid's ERR_CONNECT_FAIL                                 it could not reach the merchant
 *   no answer to CONNECT in time                                          the merchant's, whom it waits for
 */
import { isIP, isIPv6, connect as openSocket, type Socket } from "node:net";
import { connect as openTls } from "node:tls";
import { AttemptError } from "./attempt-outcome.ts";

export interface EgressProxy {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Value of `proxy-authorization`; `null`: none. */
  readonly authorization: string | null;
}

/** @param url `http://` or `https://`, with user and password if it wants them */
export function readProxyUrl(url: string): EgressProxy {
  const { protocol, hostname, port, username, password } = new URL(url);
  const isTls = protocol === "https:";
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? (isTls ? 443 : 80) : Number(port),
    isTls,
    authorization: username === "" ? null : `Basic ${Buffer.from(credentials).toString("base64")}`,
  };
}

/**
 * Connects to the proxy and, once that stands, asks it for a way to the address.
 *
 * @param onConnected the proxy is there: what fails from now on may be the merchant's
 * @param done called once, with a socket that leads to the address
 * @returns ends it
 */
export function openTunnel(
  proxy: EgressProxy,
  target: { readonly address: string; readonly port: number },
  onConnected: () => void,
  done: (error: Error | null, socket: Socket | null) => void,
): () => void {
  const place = { host: proxy.host, port: proxy.port };
  const socket: Socket = proxy.isTls
    ? openTls({ ...place, servername: isIP(proxy.host) === 0 ? proxy.host : "", ALPNProtocols: ["http/1.1"] })
    : openSocket({ ...place, noDelay: true, keepAlive: true });
  let isDone = false;
  let isConnected = false;
  let head = Buffer.alloc(0);

  function finish(error: Error | null): void {
    if (isDone) return;
    isDone = true;
    socket.off("data", take);
    if (error === null) {
      socket.pause();
      done(null, socket);
    } else {
      socket.destroy();
      done(error, null);
    }
  }

  function take(chunk: Buffer): void {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end === -1 && head.length > MAX_HEAD_BYTES)
      finish(proxyError("sent no end of its headers", "PROXY_NOT_HTTP"));
    if (end === -1) return;
    const refusal = refusalOf(head.subarray(0, end).toString("latin1"));
    const rest = head.subarray(end + 4);
    if (refusal === null && rest.length > 0) socket.unshift(rest);
    finish(refusal);
  }

  // Stays for the socket's life: an error between two owners would end the process.
  socket.on("error", (error) =>
    finish(proxyError("broke the connection", isConnected ? "PROXY_CLOSED" : undefined, error)),
  );
  socket.once("close", () => finish(proxyError("closed the connection", "PROXY_CLOSED")));
  socket.once(proxy.isTls ? "secureConnect" : "connect", () => {
    isConnected = true;
    onConnected();
    socket.on("data", take);
    socket.write(connectRequest(proxy, target));
  });
  return () => finish(proxyError("was given up"));
}

const MAX_HEAD_BYTES = 16_384;

/**
 * Whether it was there, and would not lead to this address: its answer may be about the address alone (a port or a host
 * that its rules do not allow; some say even that with 407), so nothing follows from it for the others.
 *
 * @param errorCode of an attempt whose error is `proxy`
 */
export function isRefusal(errorCode: string | null): boolean {
  return errorCode === "PROXY_CLOSED" || /^PROXY_\d{3}$/.test(errorCode ?? "");
}

function connectRequest({ authorization }: EgressProxy, target: { address: string; port: number }): string {
  const host = isIPv6(target.address) ? `[${target.address}]` : target.address;
  const authority = `${host}:${target.port}`;
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  if (authorization !== null) lines.push(`Proxy-Authorization: ${authorization}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** `null`: the way is open. */
function refusalOf(head: string): AttemptError | null {
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(head) ?? [];
  if (status === undefined) return proxyError("does not speak HTTP", "PROXY_NOT_HTTP");
  if (status.startsWith("2")) return null;
  const couldNotReach =
    status === "502" || status === "504" || /^x-squid-error: *ERR_CONNECT_FAIL/im.test(head);
  if (couldNotReach) return new AttemptError("unreachable", `the proxy could not reach it: ${status}`);
  return proxyError(`answered ${status}`, `PROXY_${status}`);
}

/** @param code what an operator sees of it in the log, as there is no attempt to look at */
function proxyError(what: string, code?: string, cause?: Error): AttemptError {
  return new AttemptError("proxy", `the egress proxy ${what}`, cause, code);
}
