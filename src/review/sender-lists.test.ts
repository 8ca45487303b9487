import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { coerceError } from "../core/errors.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogFields, silentLogger } from "../runtime/logger.ts";
import { addressOf } from "../testing/factory.ts";
import { createSenderLists, type SenderLists } from "./sender-lists.ts";

const [mallory, trudy] = [addressOf("mallory"), addressOf("trudy")];

let folder: string;
let file: string;
let log: [sentence: string, fields: LogFields][];
let lists: SenderLists;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-lists-"));
  file = join(folder, "senders.txt");
  log = [];
  const note = (sentence: string, fields: LogFields = {}) => void log.push([sentence, fields]);
  lists = createSenderLists({
    clock: systemClock,
    logger: { ...silentLogger, info: note, warn: note, error: note },
  });
  await writeFile(file, `${mallory}\n`);
  (await lists.open([file]))();
  log = [];
});
afterEach(() => rm(folder, { recursive: true }));

/** A file is read when it has stood still for a look. */
async function lookTwice(): Promise<void> {
  await lists.look();
  await lists.look();
}
const isListed = () => [mallory, trudy].map((address) => lists.filesWith(address).length > 0);
const sentences = () => log.map(([sentence]) => sentence);

describe("the sender lists in force", () => {
  it("are read again when a file changed, in place or by another file put in its place", async () => {
    await writeFile(file, `${mallory}\n${trudy}\n`);
    await lookTwice();
    expect(isListed()).toEqual([true, true]);
    await writeFile(`${file}.new`, `${trudy}\n`);
    await rename(`${file}.new`, file);
    await lookTwice();
    expect(isListed()).toEqual([false, true]);
    expect(log).toEqual([
      ["Read a changed sender list", { file, address_count: 2, address_count_before: 1 }],
      ["Read a changed sender list", { file, address_count: 1, address_count_before: 2 }],
    ]);
  });

  it("are left alone while a file is still being written", async () => {
    await writeFile(file, `${trudy}\n`);
    await lists.look();
    expect(isListed()).toEqual([true, false]);
    await writeFile(file, `${trudy}\n${mallory}\n`);
    await lists.look();
    expect(isListed()).toEqual([true, false]);
    await lists.look();
    expect(isListed()).toEqual([true, true]);
  });

  it.each([
    ["empty", () => writeFile(file, ""), "there is no address in it"],
    ["faulty", () => writeFile(file, `${trudy}\n0x1`), "line 2: it must be 0x and 40 hexadecimal digits"],
    ["gone", () => rm(file), "there is no such file"],
  ])("stay as they were when the file became %s, and say so once", async (_what, spoil, why) => {
    await spoil();
    await lookTwice();
    await lookTwice();
    expect(isListed()).toEqual([true, false]);
    expect(log).toEqual([
      ["Kept a sender list as it was", { file, address_count: 1, error: expect.objectContaining({}) }],
    ]);
    expect(lists.states()).toMatchObject([{ addressCount: 1, problem: expect.stringContaining(why) }]);
    await writeFile(file, `${trudy}\n`);
    await lookTwice();
    expect(isListed()).toEqual([false, true]);
    expect(lists.states()).toMatchObject([{ problem: null }]);
  });

  it("are well again when the very same file is back", async () => {
    await rename(file, `${file}.away`);
    await lookTwice();
    expect(lists.states()).toMatchObject([{ problem: expect.any(String) }]);
    await rename(`${file}.away`, file);
    await lookTwice();
    expect(lists.states()).toMatchObject([{ problem: null }]);
    expect(sentences()).toEqual(["Kept a sender list as it was", "Read a changed sender list"]);
  });

  it("are replaced all or none", async () => {
    const other = join(folder, "other.txt");
    await writeFile(other, trudy);
    const missing = await lists.open([other, join(folder, "missing.txt")]).then(() => "", coerceError);
    expect(missing).toMatchObject({ code: "sender_list_unreadable" });
    expect(isListed()).toEqual([true, false]);
    const use = await lists.open([other]);
    expect(isListed()).toEqual([true, false]);
    use();
    expect(isListed()).toEqual([false, true]);
  });

  it("take a hundred thousand addresses", async () => {
    const many = Array.from({ length: 100_000 }, (_, n) => `0x${n.toString(16).padStart(40, "0")}`);
    await writeFile(file, many.join("\n"));
    await lookTwice();
    expect(lists.states()).toMatchObject([{ addressCount: 100_000, problem: null }]);
    expect(lists.filesWith(`0x${(99_999).toString(16).padStart(40, "0")}`)).toEqual([file]);
  });
});
