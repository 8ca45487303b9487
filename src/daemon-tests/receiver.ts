/**
 * The merchant's side: a sink that gets callbacks, each verified with the stock `standardwebhooks` package, the
 * independent judge of what the daemon signs.
 */
import { Webhook } from "standardwebhooks";
import { coerceError } from "../core/errors.ts";
import type { DepositView } from "../testing/daemon-api.ts";
import { type Sink, type SinkProgramme, type SinkRequest, startSink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";

/** One request, verified. The same callback may come more than once. */
export interface Callback {
  /** `webhook-id`. */
  readonly id: string;
  readonly type: string;
  readonly data: DepositView;
  /** The exact bytes. */
  readonly body: string;
  readonly receivedAtMs: number;
}

export interface Receiver {
  readonly url: string;
  readonly sink: Sink;
  /** The secret of the endpoint that leads here. */
  useSecret(secret: string): void;
  /** Every callback so far. @throws Error when one of them is not signed right, or a repeat differs */
  callbacks(): readonly Callback[];
  /** The statuses told of a deposit, in the order of their sequence, repeats dropped. */
  toldOf(depositId: string): string[];
  /** Waits until a deposit's status was told. */
  untilTold(depositId: string, status: string, timeoutMs?: number): Promise<Callback>;
  answer(programme: SinkProgramme): void;
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const sink = await startSink();
  let webhook: Webhook | undefined;
  let answer: SinkProgramme = () => ({});
  let fault: Error | undefined;
  const verified: Callback[] = [];
  const bodies = new Map<string, string>();

  const take = (request: SinkRequest) => {
    if (webhook === undefined) throw new Error("A callback came before there was an endpoint");
    const callback = verify(webhook, request);
    const first = bodies.get(callback.id) ?? callback.body;
    if (first !== callback.body) throw new Error(`${callback.id} came again with another body`);
    bodies.set(callback.id, first);
    verified.push(callback);
  };
  // Judged as it arrives: a signature is good for five minutes, and a test may run for longer.
  sink.answer((request, count) => {
    try {
      take(request);
    } catch (rawError) {
      fault ??= coerceError(rawError);
    }
    return answer(request, count);
  });
  const callbacks = () => {
    if (fault !== undefined) throw fault;
    return verified;
  };
  const toldOf = (depositId: string) => {
    const bySequence = new Map(
      callbacks()
        .filter(({ data }) => data.id === depositId)
        .map(({ data }) => [data.sequence, data.status]),
    );
    return [...bySequence].sort(([a], [b]) => a - b).map(([, status]) => status);
  };
  return {
    url: `${sink.url}/callbacks`,
    sink,
    useSecret: (secret) => {
      webhook = new Webhook(secret);
    },
    callbacks,
    toldOf,
    untilTold: (depositId, status, timeoutMs = 15_000) =>
      waitFor(() => callbacks().find(({ data }) => data.id === depositId && data.status === status), {
        timeoutMs,
        what: `the callback that ${depositId} is ${status} (told: ${toldOf(depositId).join(", ")})`,
      }),
    answer: (programme) => {
      answer = programme;
    },
    close: async () => {
      await sink.close();
      callbacks();
    },
  };
}

/** @throws Error when the signature, the time or a header is wrong */
function verify(webhook: Webhook, request: SinkRequest): Callback {
  const headers = Object.fromEntries(
    ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => [
      name,
      String(request.headers[name]),
    ]),
  );
  const body = request.body.toString("utf8");
  webhook.verify(body, headers);
  const { type, data } = JSON.parse(body) as { type: string; data: DepositView };
  return { id: String(headers["webhook-id"]), type, data, body, receivedAtMs: request.at };
}
