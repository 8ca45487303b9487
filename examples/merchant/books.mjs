/**
 * The merchant's own books: what is known of each deposit, and each user's balances.
 *
 * In your system this is your database. What matters is kept here all the same:
 *
 * - A callback counts once: it is new only if its `sequence` is higher than the last one seen of that deposit.
 *   Repeats and late ones (a `pending` that arrives after its `credited`) change nothing.
 * - That check and the change of the balance are saved together or not at all: here in one file that is replaced
 *   as a whole, in your database in one transaction.
 * - Amounts are integers (BigInt) in base units. No floating point.
 */
import { open, readFile, rename } from "node:fs/promises";

/** @param {string} file where the books are kept; made if it does not exist */
export async function openBooks(file) {
  /** What the last callback of each deposit said. @type {Map<string, object>} */
  const deposits = new Map();
  /** @type {Map<string, { userId, currency, chainId, token, decimals, locked: bigint, available: bigint }>} */
  const balances = new Map();

  let version = 0; // goes up with each change in memory
  let savedVersion = 0; // the one in the file
  let saving = null;

  for (const deposit of await read(file)) take(deposit);

  /**
   * Books what a callback says of a deposit. Resolves when it is on disk: only then may the callback be answered.
   *
   * @returns {Promise<"booked" | "known">}
   */
  async function book(deposit) {
    const isNew = deposit.sequence > (deposits.get(deposit.id)?.sequence ?? 0);
    if (isNew) {
      take(deposit);
      version += 1;
    }
    // A repeat waits as well: the first one's saving may have failed.
    await saved();
    return isNew ? "booked" : "known";
  }

  /** What the deposit counted for until now is taken out, what it counts for from now on is put in. */
  function take(deposit) {
    const before = deposits.get(deposit.id);
    if (before !== undefined) count(before, -1n);
    count(deposit, 1n);
    deposits.set(deposit.id, deposit);
  }

  /**
   * The whole accounting rule: a credited deposit is the user's but locked, an unlocked one is available, and in
   * every other status (pending, held, rejected, ignored, orphaned, reversed) it is nothing.
   */
  function count(deposit, sign) {
    const amount = sign * BigInt(deposit.amountBaseUnits);
    if (deposit.status === "credited") balanceOf(deposit).locked += amount;
    if (deposit.status === "unlocked") balanceOf(deposit).available += amount;
  }

  function balanceOf({ userId, currency, chainId, token, decimals }) {
    const key = JSON.stringify([userId, chainId, token]);
    let balance = balances.get(key);
    if (balance === undefined) {
      balance = { userId, currency, chainId, token, decimals, locked: 0n, available: 0n };
      balances.set(key, balance);
    }
    return balance;
  }

  /** Callbacks that come while the file is being written share the next writing. */
  async function saved() {
    const wanted = version;
    while (savedVersion < wanted) {
      saving ??= save().finally(() => {
        saving = null;
      });
      await saving;
    }
  }

  async function save() {
    const saves = version;
    await replace(file, JSON.stringify({ deposits: [...deposits.values()] }));
    savedVersion = saves;
  }

  return {
    book,
    deposits: () => [...deposits.values()],
    balances: () =>
      [...balances.values()].map(({ locked, available, ...of }) => ({
        ...of,
        lockedBaseUnits: locked.toString(),
        availableBaseUnits: available.toString(),
      })),
  };
}

async function read(file) {
  try {
    return JSON.parse(await readFile(file, "utf8")).deposits;
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

/** Written beside it, flushed to disk, then renamed over it: the file is the old one or the new one, never half. */
async function replace(file, text) {
  const handle = await open(`${file}.new`, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
}
