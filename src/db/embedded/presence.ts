/**
 * Who uses the embedded server is told by the server itself: each process holds one session with a shared
 * advisory lock. The last to leave is the one that gets the lock alone; it stops the server while it holds it.
 * Sessions die with their processes, so nobody who crashed is ever waited for.
 *
 *   arrive: connect, take the lock shared. Not to be had: the last one is just stopping the server; wait, start it.
 *   leave:  give the shared lock back, try for it alone. Not to be had: others are here; leave the server to them.
 */
import pg from "pg";
import { CLUSTER_USER, type Cluster } from "./cluster.ts";

const MAINTENANCE_DATABASE = "postgres";
export const DATABASE_NAME = "depositd";

/** Any number, the same in every process; only this use has it in the maintenance database. */
const PRESENCE_LOCK = 7_364_311;

export function connectionUrl(cluster: Cluster, port: number, database: string): string {
  return `postgres://${CLUSTER_USER}:${encodeURIComponent(cluster.password)}@127.0.0.1:${port}/${database}`;
}

/**
 * A session that holds the shared lock in a server that serves this cluster, or why there is none (yet).
 * `onLost` is called once when the session ends by itself later.
 */
export async function arrive(
  cluster: Cluster,
  port: number,
  onLost: (error: Error | undefined) => void,
): Promise<pg.Client | { reason: string }> {
  const client = new pg.Client({
    connectionString: connectionUrl(cluster, port, MAINTENANCE_DATABASE),
    application_name: "depositd presence",
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  let lostBy: Error | undefined;
  let isPresent = false;
  client.on("error", (error) => {
    lostBy = error;
  });
  client.on("end", () => {
    if (isPresent) onLost(lostBy);
  });
  const refuse = async (reason: string) => {
    await client.end().catch(() => undefined);
    return { reason };
  };

  try {
    await client.connect();
    const { rows } = await client.query<{ folder: string; present: boolean }>(
      `SELECT current_setting('data_directory') AS folder, pg_try_advisory_lock_shared(${PRESENCE_LOCK}) AS present`,
    );
    if (rows[0]?.folder !== cluster.dataFolder) return await refuse("another PostgreSQL answers on its port");
    if (!rows[0].present) return await refuse("the server is being stopped");
    await createDatabase(client);
    isPresent = true;
    return client;
  } catch (rawError) {
    return refuse(rawError instanceof Error ? rawError.message : String(rawError));
  }
}

/** Gives the presence up. True: nobody else is here, nobody can arrive until the session ends: stop the server. */
export async function leave(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ last: boolean }>(
    `SELECT pg_advisory_unlock_shared(${PRESENCE_LOCK}), pg_try_advisory_lock(${PRESENCE_LOCK}) AS last`,
  );
  return rows[0]?.last === true;
}

async function createDatabase(client: pg.Client): Promise<void> {
  const { rows } = await client.query("SELECT FROM pg_database WHERE datname = $1", [DATABASE_NAME]);
  if (rows.length > 0) return;
  await client.query(`CREATE DATABASE ${DATABASE_NAME}`).catch((rawError: unknown) => {
    // 42P04 or 23505: another process made it at the same moment.
    const state = (rawError as { code?: unknown }).code;
    if (state !== "42P04" && state !== "23505") throw rawError;
  });
}
