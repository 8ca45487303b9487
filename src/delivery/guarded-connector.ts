/**
 * Opens the connections that callbacks go over, to allowed addresses only. Three looks, none of which is enough
 * alone:
 *
 * 1. a literal address in the URL: no name is looked up for it, so the second look would never come
 * 2. every address a name resolves to: what was checked is what is dialled, so a name server that answers
 *    differently the second time (DNS rebinding) gains nothing
 * 3. the peer that is really connected, before one byte is sent to it, TLS's own included
 */
import { isIP, type LookupFunction, connect as openSocket, type Socket } from "node:net";
import { buildConnector } from "undici";
import { coerceError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { AttemptError, classifyError, timedOut } from "./attempt-outcome.ts";
import type { ClientCertificate } from "./client-certificate.ts";
import { type EgressProxy, openTunnel } from "./egress-proxy.ts";
import type { ResolveHost } from "./resolve-host.ts";

export interface GuardedConnectorOptions {
  readonly isAllowedAddress: (address: string) => boolean;
  readonly resolve: ResolveHost;
  /** For name, connection and TLS handshake, each. */
  readonly connectTimeoutMs: number;
  /** Certificates to trust instead of the well-known ones, PEM. */
  readonly ca?: string | undefined;
  /** Shown where an endpoint asks for one. */
  readonly clientCertificate?: ClientCertificate | undefined;
  /** The operator's own, that all connections go through. */
  readonly proxy?: EgressProxy | undefined;
  readonly clock: Clock;
}

/** How long each step of opening a connection took, in milliseconds; `null`: it was not needed, or not reached. */
export interface ConnectPhases {
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
  /** The operator's own proxy is waited for. */
  isAtProxy: boolean;
}

export function newConnectPhases(): ConnectPhases {
  return { dnsMs: null, connectMs: null, tlsMs: null, isAtProxy: false };
}

/** What is written from now on is the next attempt's. */
export function forgetPhases(phases: ConnectPhases): void {
  phases.dnsMs = null;
  phases.connectMs = null;
  phases.tlsMs = null;
  phases.isAtProxy = false;
}

/** For one connection: what opening it took is written into `phases`. */
export type GuardedConnector = (phases: ConnectPhases) => buildConnector.connector;

/**
 * A name with several addresses is tried one by one. Node gives each 250 ms by default and then drops it,
 * which fails for good where the way around the world takes longer.
 */
const ADDRESS_TIMEOUT_MS = 3_000;

export function createGuardedConnector(options: GuardedConnectorOptions): GuardedConnector {
  const { clock } = options;
  const secure = buildConnector({
    timeout: options.connectTimeoutMs,
    allowH2: false,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...options.clientCertificate,
  });
  return (phases) => (target, callback) => {
    forgetPhases(phases);
    openGuarded(target, options, phases, (error, socket) => {
      if (error !== null) return callback(error, null);
      if (target.protocol !== "https:") return callback(null, socket);
      const startedAt = clock.monotonic();
      secure({ ...target, httpSocket: socket }, (tlsError, tlsSocket) => {
        phases.tlsMs = clock.monotonic() - startedAt;
        if (tlsError === null) return callback(null, tlsSocket);
        socket.destroy();
        callback(asTlsError(tlsError), null);
      });
    });
  };
}

type Opened = (...result: [error: Error, socket: null] | [error: null, socket: Socket]) => void;

/** Begins to open a socket to the target. @returns ends it; it tells no more then */
type Open = (
  target: Target,
  options: GuardedConnectorOptions,
  phases: ConnectPhases,
  done: Opened,
) => () => void;

interface Target {
  readonly hostname: string;
  readonly port: number;
}

function openGuarded(
  { hostname, port, protocol }: buildConnector.Options,
  options: GuardedConnectorOptions,
  phases: ConnectPhases,
  done: Opened,
): void {
  if (isIP(hostname) !== 0 && !options.isAllowedAddress(hostname)) {
    done(blocked(), null);
    return;
  }
  const { clock, connectTimeoutMs } = options;
  const ended = new AbortController();
  const finish: Opened = (...result) => {
    if (ended.signal.aborted) return;
    ended.abort();
    done(...result);
  };
  const open: Open = options.proxy === undefined ? openDirect : openByProxy(options.proxy);
  const target = { hostname, port: Number(port) || (protocol === "https:" ? 443 : 80) };
  const giveUp = open(target, options, phases, finish);
  const dueAt = clock.monotonic() + connectTimeoutMs;
  void clock.sleep(connectTimeoutMs, ended.signal).then(() => {
    if (ended.signal.aborted) return;
    const lateMs = clock.monotonic() - dueAt;
    finish(phases.isAtProxy ? proxyAway() : timedOut("could not connect in time", lateMs), null);
    giveUp();
  });
}

const openDirect: Open = (target, options, phases, done) => {
  const { clock } = options;
  const startedAt = clock.monotonic();
  const socket = openSocket({
    host: target.hostname,
    port: target.port,
    lookup: guardedLookup(options, phases),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
    noDelay: true,
    keepAlive: true,
  });
  const fail = (error: Error) => {
    socket.destroy();
    done(error, null);
  };
  // Stays for the socket's life: an error between two owners would end the process.
  socket.on("error", fail);
  socket.once("connect", () => {
    phases.connectMs = clock.monotonic() - startedAt - (phases.dnsMs ?? 0);
    const peer = socket.remoteAddress;
    if (peer === undefined || !options.isAllowedAddress(peer)) fail(blocked());
    else done(null, socket);
  });
  return () => socket.destroy();
};

/** The peer that is connected is the proxy, which is told the address that was checked. */
function openByProxy(proxy: EgressProxy): Open {
  return (target, options, phases, done) => {
    let giveUp: () => void = () => undefined;
    let isGivenUp = false;
    const lookUp = guardedLookup(options, phases);
    const begin = (address: string) => {
      if (isGivenUp) return;
      const startedAt = options.clock.monotonic();
      phases.isAtProxy = true;
      const onConnected = () => {
        phases.isAtProxy = false;
      };
      giveUp = openTunnel(proxy, { address, port: target.port }, onConnected, (error, socket) => {
        phases.connectMs = options.clock.monotonic() - startedAt;
        if (socket === null) done(error ?? proxyAway(), null);
        else done(null, socket);
      });
    };
    if (isIP(target.hostname) === 0) {
      lookUp(target.hostname, {}, (error, address) => {
        if (error) done(error, null);
        else if (typeof address === "string") begin(address);
      });
    } else begin(target.hostname);
    return () => {
      isGivenUp = true;
      giveUp();
    };
  };
}

/** No connection to the operator's own proxy: nobody knows how the merchant is. */
export function proxyAway(): AttemptError {
  return new AttemptError("proxy", "the egress proxy does not answer", undefined, "PROXY_SILENT");
}

function guardedLookup(options: GuardedConnectorOptions, phases: ConnectPhases): LookupFunction {
  const { clock } = options;
  return (hostname, how, callback) => {
    const startedAt = clock.monotonic();
    const noteTime = () => {
      phases.dnsMs = clock.monotonic() - startedAt;
    };
    options.resolve(hostname).then(
      (addresses) => {
        noteTime();
        const allowed = addresses.filter(({ address }) => options.isAllowedAddress(address));
        const [first] = allowed;
        if (first === undefined) callback(blocked(), "");
        else if (how.all === true) callback(null, allowed);
        else callback(null, first.address, first.family);
      },
      (rawError: unknown) => {
        noteTime();
        callback(new AttemptError("dns", "the name does not resolve", rawError), "");
      },
    );
  };
}

function blocked(): AttemptError {
  return new AttemptError("blocked_address", "the address is not public");
}

/** What fails between TCP and HTTP is TLS's, but for a connection that broke or hung. */
function asTlsError(rawError: unknown): Error {
  const error = coerceError(rawError);
  const { errorClass } = classifyError(error);
  return errorClass === "protocol" ? new AttemptError("tls", "the TLS handshake failed", error) : error;
}
