/** Attempts from an egress to servers on this machine; all of them end with their test. */
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import { createEgress, type Egress, type EgressOptions } from "../delivery/egress.ts";
import { systemClock } from "../runtime/clock.ts";
import { type NameServer, startNameServer, type Zone } from "./name-server.ts";
import { type Sink, startSink } from "./sink.ts";

export interface EgressRig {
  /** Private targets are allowed unless the test says otherwise. */
  egress(options?: Partial<EgressOptions>): Egress;
  sink(options?: Parameters<typeof startSink>[0]): Promise<Sink>;
  nameServer(zone: Zone): Promise<NameServer>;
  /** Ends with the test. */
  afterwards(opened: { close(): Promise<void> }): void;
  /** Was closed by the test itself. */
  forget(opened: { close(): Promise<void> }): void;
  /** After each test. */
  clear(): Promise<void>;
}

export function createEgressRig(): EgressRig {
  const opened: { close(): Promise<void> }[] = [];
  const keep = <Opened extends { close(): Promise<void> }>(each: Opened): Opened => {
    opened.push(each);
    return each;
  };
  return {
    egress: (options = {}) => {
      const created = createEgress({ allowPrivateTargets: true, clock: systemClock, ...options });
      opened.push({ close: () => created.destroy() });
      return created;
    },
    sink: async (options = {}) => keep(await startSink(options)),
    nameServer: async (zone) => keep(await startNameServer(zone)),
    afterwards: (each) => opened.push(each),
    forget: (each) => opened.splice(opened.indexOf(each), 1),
    clear: async () => {
      for (const each of opened.splice(0).reverse()) await each.close();
    },
  };
}

/** One attempt of a small body. */
export function attempt(by: Egress, url: string, timeoutMs = 5_000): Promise<AttemptOutcome> {
  return by.attempt({ url, headers: { "content-type": "application/json" }, body: '{"a":1}', timeoutMs });
}
