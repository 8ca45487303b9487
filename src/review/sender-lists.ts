/**
 * The sender lists in force: read at the start, and again when a file changed.
 *
 * They are kept in memory, as sets. A lookup takes less than a microsecond, a hundred thousand addresses
 * take less than 10 MB, and the file stays the only truth: a table would be one more copy, which could be of another
 * daemon's file. What holds is what the daemon that settles a deposit has read.
 *
 * A file is looked at by its time, size and inode, not watched: that works on every file system and through the
 * symbolic links of mounted volumes. It is read once it has stood still for one look, so that a file that is just
 * being written is left alone. One that became unreadable or faulty changes nothing: what was read before stays.
 */
import { readFile, stat } from "node:fs/promises";
import { coerceError, InputError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { parseSenderList } from "./sender-list.ts";

export interface SenderListState {
  readonly file: string;
  readonly addressCount: number;
  /** When what is in force was read, in milliseconds since 1970. */
  readonly readAt: number;
  /** Why the file as it is now is not in force; `null` when it is. */
  readonly problem: string | null;
}

export interface SenderLists {
  /**
   * Reads those of the files that are not in use yet.
   *
   * @returns puts these files in force in place of those before, all or none
   * @throws {InputError} `sender_list_unreadable` or `sender_list_invalid`
   */
  open(files: readonly string[]): Promise<() => void>;
  /** Reads what changed. To be called about every second. */
  look(): Promise<void>;
  /** The lists that the address is in. */
  filesWith(address: Address): readonly string[];
  states(): readonly SenderListState[];
}

interface SenderList {
  readonly file: string;
  addresses: ReadonlySet<Address>;
  readAt: number;
  /** What the file was when it was read last, well or not. */
  readMark: string;
  /** What it was at the last look. */
  seenMark: string;
  problem: string | null;
}

export function createSenderLists(parts: { readonly clock: Clock; readonly logger: Logger }): SenderLists {
  const { clock, logger } = parts;
  let lists: readonly SenderList[] = [];

  async function open(file: string): Promise<SenderList> {
    const mark = await markOf(file);
    const addresses = await readSenderList(file);
    logger.info("Read a sender list", { file, address_count: addresses.size });
    return { file, addresses, readAt: clock.now(), readMark: mark, seenMark: mark, problem: null };
  }

  async function lookAt(list: SenderList): Promise<void> {
    try {
      const mark = await markOf(list.file);
      const isStill = mark === list.seenMark;
      list.seenMark = mark;
      if (!isStill || mark === list.readMark) return;
      list.readMark = mark;
      replaceAddresses(list, await readSenderList(list.file));
    } catch (rawError) {
      const error = coerceError(rawError);
      // What cannot be read now may be readable the next time, with nothing else to show for it.
      if (!(error instanceof InputError) || error.code === "sender_list_unreadable") list.readMark = "";
      if (list.problem === error.message) return;
      list.problem = error.message;
      const { file, addresses } = list;
      logger.error("Kept a sender list as it was", { file, address_count: addresses.size, error });
    }
  }

  function replaceAddresses(list: SenderList, addresses: ReadonlySet<Address>): void {
    const fields = {
      file: list.file,
      address_count: addresses.size,
      address_count_before: list.addresses.size,
    };
    logger.info("Read a changed sender list", fields);
    list.addresses = addresses;
    list.readAt = clock.now();
    list.problem = null;
  }

  return {
    open: async (files) => {
      const known = new Map(lists.map((list) => [list.file, list]));
      const opened = await Promise.all([...new Set(files)].map((file) => known.get(file) ?? open(file)));
      return () => {
        lists = opened;
      };
    },
    look: async () => void (await Promise.all(lists.map(lookAt))),
    filesWith: (address) => lists.flatMap(({ file, addresses }) => (addresses.has(address) ? [file] : [])),
    states: () =>
      lists.map(({ file, addresses, readAt, problem }) => ({
        file,
        addressCount: addresses.size,
        readAt,
        problem,
      })),
  };
}

/** @throws {InputError} `sender_list_unreadable` or `sender_list_invalid` */
export async function readSenderList(file: string): Promise<Set<Address>> {
  return parseSenderList(await orUnreadable(file, readFile(file, "utf8")), file);
}

/** Differs when the file does, as far as can be seen from outside. */
async function markOf(file: string): Promise<string> {
  const { mtimeMs, ctimeMs, size, ino } = await orUnreadable(file, stat(file));
  return [mtimeMs, ctimeMs, size, ino].join(" ");
}

async function orUnreadable<Value>(file: string, reading: Promise<Value>): Promise<Value> {
  try {
    return await reading;
  } catch (rawError) {
    const { message } = coerceError(rawError);
    const code = (rawError as { code?: unknown }).code;
    const why = code === "ENOENT" ? "there is no such file" : message;
    throw new InputError("sender_list_unreadable", `The sender list ${file} cannot be read: ${why}`, {
      file,
    });
  }
}
