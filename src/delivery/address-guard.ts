/**
 * Which IP addresses a callback may go to: public unicast only. A merchant chooses the URL, so without this
 * the daemon would be a way into the network it runs in: cloud metadata, databases, its own API.
 *
 * IPv4 is allowed except for the ranges below. IPv6 is refused except for the ranges below, which is the safer
 * way round: everything handed out to the public lies in 2000::/3. An IPv4 address written as IPv6
 * (::ffff:a.b.c.d) is judged as IPv4. Source of the ranges: IANA's special-purpose address registries.
 */
import { BlockList, isIP } from "node:net";

const BLOCKED_V4: readonly [network: string, prefix: number, what: string][] = [
  ["0.0.0.0", 8, "this network"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "carrier-grade NAT"],
  ["127.0.0.0", 8, "loopback"],
  ["169.254.0.0", 16, "link-local, cloud metadata"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "protocol assignments"],
  ["192.0.2.0", 24, "documentation"],
  ["192.88.99.0", 24, "6to4 relays"],
  ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "benchmarks"],
  ["198.51.100.0", 24, "documentation"],
  ["203.0.113.0", 24, "documentation"],
  ["224.0.0.0", 4, "multicast"],
  ["240.0.0.0", 4, "reserved, broadcast"],
];

/**
 * Global unicast. What lies outside needs no line of its own: ::, ::1, IPv4-compatible ::a.b.c.d, NAT64
 * 64:ff9b::/96 and 64:ff9b:1::/48, discard 100::/64, SRv6 5f00::/16, unique local fc00::/7, link-local
 * fe80::/10, site-local fec0::/10, multicast ff00::/8.
 */
const ALLOWED_V6 = ["2000::", 3] as const;

/** Parts of 2000::/3 that are not public, or that carry an IPv4 address inside. */
const BLOCKED_V6: readonly [network: string, prefix: number, what: string][] = [
  ["2001::", 23, "protocol assignments, with Teredo"],
  ["2001:db8::", 32, "documentation"],
  ["2002::", 16, "6to4"],
  ["3fff::", 20, "documentation"],
];

const blockedV4 = new BlockList();
for (const [network, prefix] of BLOCKED_V4) blockedV4.addSubnet(network, prefix, "ipv4");

const mappedV4 = new BlockList();
mappedV4.addSubnet("::ffff:0:0", 96, "ipv6");

const allowedV6 = new BlockList();
allowedV6.addSubnet(...ALLOWED_V6, "ipv6");

const blockedV6 = new BlockList();
for (const [network, prefix] of BLOCKED_V6) blockedV6.addSubnet(network, prefix, "ipv6");

/**
 * @param address IPv4 or IPv6 in any text form that `node:net` reads, without brackets. Whatever is no address
 * is not public.
 */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !blockedV4.check(address, "ipv4");
  // A zone (%eth0) only makes sense on the local link, and BlockList does not read it.
  if (family !== 6 || address.includes("%")) return false;
  if (mappedV4.check(address, "ipv6")) return !blockedV4.check(address, "ipv6");
  return allowedV6.check(address, "ipv6") && !blockedV6.check(address, "ipv6");
}
