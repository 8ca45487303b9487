/** A screening service of its own, over real HTTP, that answers as a test tells it. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface AskedQuestion {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The question, parsed. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Answers one question; the default approves. Not ending the response is a service that hangs. */
export type Answering = (question: AskedQuestion, response: ServerResponse) => void;

export interface ScreeningService {
  readonly url: string;
  /** Every question so far. */
  readonly asked: AskedQuestion[];
  answer(answering: Answering): void;
  stop(): Promise<void>;
}

/** `whsec_…` for the config. */
export const SCREENING_SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

export const says =
  (answer: unknown, status = 200): Answering =>
  (_question, response) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));

export async function startScreeningService(): Promise<ScreeningService> {
  const asked: AskedQuestion[] = [];
  let answering: Answering = says({ answer: "approve" });
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const question = { headers: request.headers, text, body: JSON.parse(text) as AskedQuestion["body"] };
      asked.push(question);
      answering(question, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/screen`,
    asked,
    answer: (given) => {
      answering = given;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
