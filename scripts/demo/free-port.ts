/** A port for a program that must be told one, and keeps it over restarts. */
import { once } from "node:events";
import { createServer } from "node:net";
import { systemRandom } from "../../src/runtime/random.ts";

// Below the range that systems give to outgoing connections (Linux 32768, others 49152): while a program is
// being started again, nobody takes its port by chance.
const LOWEST = 20_000;
const HIGHEST = 32_000;

export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(systemRandom.fraction() * (HIGHEST - LOWEST));
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
