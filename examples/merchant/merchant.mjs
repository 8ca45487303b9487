/**
 * A merchant's backend, as small as it gets: receives depositd's callbacks, verifies each one, and keeps its own
 * balances. Copy what you need.
 *
 *   POST /callbacks   what you register as an endpoint's URL
 *   GET  /balances    what every user has
 *   GET  /deposits    what is known of every deposit
 *
 * Environment:
 *
 *   PORT                   8490 if none is given; 0 takes any free port
 *   HOST                   127.0.0.1
 *   CALLBACK_SECRET        whsec_…, shown once when the endpoint was created
 *   CALLBACK_SECRET_FILE   or a file with it, one per line while secrets change over; may appear later
 *   STATE_FILE             merchant-state.json
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";
import { openBooks } from "./books.mjs";

const {
  PORT = "8490",
  HOST = "127.0.0.1",
  CALLBACK_SECRET,
  CALLBACK_SECRET_FILE,
  STATE_FILE = "merchant-state.json",
} = process.env;

const MAX_BODY_BYTES = 1_000_000;

const books = await openBooks(STATE_FILE);

const server = createServer((request, response) => {
  route(request).then(
    ({ status, body }) => answer(response, status, body),
    (error) => {
      // Whatever fails here, the callback was not taken: depositd tries it again.
      console.error(error);
      answer(response, 500, { error: "internal" });
    },
  );
});

server.listen(Number(PORT), HOST, () => {
  console.log(`Listening on http://${HOST}:${server.address().port}`);
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}

async function route(request) {
  const { pathname } = new URL(request.url, "http://merchant");
  switch (`${request.method} ${pathname}`) {
    case "POST /callbacks":
      return receive(request);
    case "GET /balances":
      return { status: 200, body: { items: books.balances() } };
    case "GET /deposits":
      return { status: 200, body: { items: books.deposits() } };
    default:
      return { status: 404, body: { error: "not_found" } };
  }
}

async function receive(request) {
  const body = await readBody(request);
  if (body === null) return { status: 413, body: { error: "too_large" } };

  const secrets = await readSecrets();
  if (secrets.length === 0) return { status: 503, body: { error: "no_secret_yet" } };

  // On the bytes as they came: JSON that was parsed and written again is not what was signed.
  if (!isVerified(body, request.headers, secrets)) return { status: 401, body: { error: "not_verified" } };

  const event = JSON.parse(body);
  // Types that this merchant does not know are taken, and mean nothing to it.
  const result = event.type.startsWith("deposit.") ? await books.book(event.data) : "passed over";
  // One line for each callback, with all of it: what was told can be looked up later.
  console.log(JSON.stringify({ result, ...event }));
  return { status: 204 };
}

/** By the stock library: the signature, and that it is not older than five minutes (a replay). */
function isVerified(body, headers, secrets) {
  return secrets.some((secret) => {
    try {
      new Webhook(secret).verify(body, headers);
      return true;
    } catch {
      return false;
    }
  });
}

/** Read each time, so that a secret may be given, or changed, while this runs. */
async function readSecrets() {
  if (CALLBACK_SECRET_FILE === undefined) return CALLBACK_SECRET === undefined ? [] : [CALLBACK_SECRET];
  try {
    const text = await readFile(CALLBACK_SECRET_FILE, "utf8");
    return text.split(/\s+/).filter((line) => line !== "");
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

/** The body as text, exactly as it came; `null` when it is too long. */
async function readBody(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function answer(response, status, body) {
  if (body === undefined) {
    response.writeHead(status).end();
  } else {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }
}
