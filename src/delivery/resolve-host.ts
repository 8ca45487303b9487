/**
 * Names to addresses, so that one dead name server does not hold up the callbacks to all others.
 *
 * `dns.lookup` asks the operating system on one of libuv's four threads. Four endpoints whose domain's name
 * servers are gone would occupy them all for seconds, and with them every other lookup and all file access of
 * the process. So names are asked for over the network by c-ares, which waits without a thread. What no name
 * server knows is looked for by the operating system after all: it may be in the hosts file.
 */
import { promises as dns, type LookupAddress } from "node:dns";

/** Rejects when the name does not resolve; otherwise there is at least one address. */
export type ResolveHost = (hostname: string) => Promise<LookupAddress[]>;

const QUERY_TIMEOUT_MS = 2_000;
const QUERY_TRIES = 2;

/** @param servers `address:port` of the name servers to ask, instead of the system's own */
export function createHostResolver(servers?: readonly string[]): ResolveHost {
  const resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
  if (servers !== undefined) resolver.setServers([...servers]);

  return async (hostname) => {
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    const addresses: LookupAddress[] = [
      ...(v4.status === "fulfilled" ? v4.value : []).map((address) => ({ address, family: 4 })),
      ...(v6.status === "fulfilled" ? v6.value : []).map((address) => ({ address, family: 6 })),
    ];
    if (addresses.length > 0) return addresses;
    if (servers === undefined && isUnknown(v4) && isUnknown(v6)) return resolveBySystem(hostname);
    throw v4.status === "rejected" ? v4.reason : new Error("no address");
  };
}

/** By the operating system: hosts file, search domains. For a developer's machine, where names are like that. */
export const resolveBySystem: ResolveHost = (hostname) => dns.lookup(hostname, { all: true });

function isUnknown(result: PromiseSettledResult<string[]>): boolean {
  return (
    result.status === "fulfilled" || ["ENOTFOUND", "ENODATA", "ECONNREFUSED"].includes(result.reason?.code)
  );
}
