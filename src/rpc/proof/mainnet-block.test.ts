/**
 * A block of Ethereum's mainnet, 21925176, with 202 receipts and 463 logs. It is not part of the project: the
 * folder with `mainnet-21925176/` is named by DEPOSITD_FIXTURES.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadFastKeccak } from "../../core/keccak.ts";
import { type BlockProof, type ProofPart, proveBlock, type RawBlock } from "./proof-level.ts";

const folder = join(process.env["DEPOSITD_FIXTURES"] ?? "", "mainnet-21925176");
const isThere = existsSync(join(folder, "receipts.json"));

interface Log {
  address: string;
  topics: string[];
  data: string;
}
interface Receipt {
  type: string;
  status: string;
  cumulativeGasUsed: string;
  logsBloom?: string;
  logs: Log[];
}
interface MainnetBlock {
  header: Record<string, unknown>;
  receipts: Receipt[];
  withdrawals: Record<string, string>[];
}

function readBlock(): MainnetBlock {
  const header = JSON.parse(readFileSync(join(folder, "block.json"), "utf8"));
  const receipts = JSON.parse(readFileSync(join(folder, "receipts.json"), "utf8"));
  return { header, receipts, withdrawals: header.withdrawals };
}

/** The fixture holds the transactions' hashes alone. */
function prove(block: MainnetBlock): BlockProof {
  return proveBlock({ ...block, transactions: null } satisfies RawBlock);
}

function failingParts({ parts }: BlockProof): string[] {
  return Object.entries(parts).flatMap(([part, proof]) =>
    proof.isProved || proof.doubt === "not_asked" ? [] : [part],
  );
}

function at<Item>(list: readonly Item[], index: number): Item {
  const item = list[index];
  if (item === undefined) throw new Error(`The fixture has no item ${index}`);
  return item;
}

/** The block after a change. */
function changed(change: (block: MainnetBlock) => void): BlockProof {
  const block = readBlock();
  change(block);
  return prove(block);
}

const withLogs = (block: MainnetBlock): Receipt => {
  const found = block.receipts.find((receipt) => receipt.logs.length > 2);
  if (found === undefined) throw new Error("The fixture has no receipt with logs");
  return found;
};

const LIES: readonly [name: string, part: ProofPart, lie: (block: MainnetBlock) => void][] = [
  ["C2: a log left out", "receipts", (block) => void withLogs(block).logs.splice(1, 1)],
  [
    "C2: the last log left out",
    "receipts",
    (block) => void block.receipts.findLast(({ logs }) => logs.length > 0)?.logs.pop(),
  ],
  [
    "C2: all logs of a receipt left out, and its bloom put right",
    "receipts",
    (block) => {
      const receipt = withLogs(block);
      receipt.logs = [];
      receipt.logsBloom = `0x${"0".repeat(512)}`;
    },
  ],
  [
    "C12: an invented log",
    "receipts",
    (block) => {
      const receipt = withLogs(block);
      receipt.logs.push(structuredClone(at(receipt.logs, 0)));
    },
  ],
  [
    "C12: a changed amount",
    "receipts",
    (block) => {
      const log = at(withLogs(block).logs, 0);
      log.data = `${log.data.slice(0, -1)}${log.data.endsWith("1") ? "2" : "1"}`;
    },
  ],
  [
    "C12: another recipient",
    "receipts",
    (block) => {
      at(withLogs(block).logs, 1).topics[2] = `0x${"00".repeat(12)}${"ab".repeat(20)}`;
    },
  ],
  [
    "C12: another token",
    "receipts",
    (block) => {
      at(withLogs(block).logs, 0).address = `0x${"cd".repeat(20)}`;
    },
  ],
  [
    "C12: a failed transaction that succeeded",
    "receipts",
    (block) => {
      const failed = block.receipts.find(({ status }) => status === "0x0");
      if (failed === undefined) throw new Error("The fixture has no failed transaction");
      failed.status = "0x1";
    },
  ],
  [
    "C4: two receipts in each other's place",
    "receipts",
    ({ receipts }) => {
      [receipts[5], receipts[150]] = [at(receipts, 150), at(receipts, 5)];
    },
  ],
  ["C3: a receipt left out", "receipts", ({ receipts }) => void receipts.splice(100, 1)],
  ["D5: a withdrawal left out", "withdrawals", ({ withdrawals }) => void withdrawals.pop()],
  [
    "C12: a withdrawal of more",
    "withdrawals",
    ({ withdrawals }) => {
      at(withdrawals, 0)["amount"] = "0x77359400";
    },
  ],
  [
    "C12: a withdrawal to somebody else",
    "withdrawals",
    ({ withdrawals }) => {
      at(withdrawals, 3)["address"] = `0x${"ab".repeat(20)}`;
    },
  ],
  [
    "C4: another block's receipts root",
    "header",
    ({ header }) => {
      header["receiptsRoot"] = header["transactionsRoot"];
    },
  ],
  [
    "a data of which a digit is none",
    "receipts",
    (block) => {
      const log = at(withLogs(block).logs, 0);
      log.data = log.data.replace("0x0", "0x\u0130"); // whose low byte is that of "0"
    },
  ],
];

if (!isThere) {
  it("has no mainnet block to prove: name its folder in DEPOSITD_FIXTURES", (context) => {
    context.skip(`there is no ${folder}`);
  });
}

describe.runIf(isThere)("a block of the mainnet", () => {
  beforeAll(loadFastKeccak);

  it("is proved, all but its transactions, which were not asked for", () => {
    const proof = prove(readBlock());
    expect(proof.unproved).toEqual([]);
    expect(proof).toMatchObject({
      level: "proved",
      sure: { tokenLogs: true, nativeValue: false, transactionHashes: false, withdrawals: true },
      logCount: 463,
    });
    expect(proof.parts.transactions).toMatchObject({ doubt: "not_asked" });
  });

  it.each(LIES)("is not proved with %s", (_, part, lie) => {
    const proof = changed(lie);
    expect(proof.level).not.toBe("proved");
    expect(failingParts(proof)).toContain(part);
    expect(proof.unproved.join()).not.toBe("");
  });

  it("is not proved when any one field of its header is another", () => {
    const { header } = readBlock();
    const strangers = ["size", "uncles", "transactions", "withdrawals"];
    for (const name of Object.keys(header).filter((key) => !strangers.includes(key))) {
      const proof = changed((block) => {
        const value = String(block.header[name]);
        block.header[name] = `${value.slice(0, -1)}${value.endsWith("7") ? "8" : "7"}`;
      });
      expect(failingParts(proof), name).toContain("header");
    }
  });

  it("is proved from receipts that leave out their blooms", () => {
    const proof = changed((block) => {
      for (const receipt of block.receipts) delete receipt.logsBloom;
    });
    expect(proof.level).toBe("proved");
  });

  it("falls to its bloom where the header cannot be encoded", () => {
    const proof = changed(({ header }) => {
      header["fieldOfALaterFork"] = "0x1";
      header["hash"] = `0x${"12".repeat(32)}`;
    });
    expect(proof.level).toBe("bloom");
    expect(failingParts(proof)).toEqual(["header"]);
    expect(proof.unproved[0]).toContain("fieldOfALaterFork");
    expect(proof.sure).toEqual({
      tokenLogs: false,
      nativeValue: false,
      transactionHashes: false,
      withdrawals: false,
    });
  });

  it("C1: has not even its bloom when logs are left out", () => {
    const proof = changed((block) => {
      delete block.header["receiptsRoot"];
      for (const receipt of block.receipts) receipt.logs = [];
    });
    expect(proof.level).toBe("none");
    expect(failingParts(proof)).toEqual(["header", "receipts", "bloom"]);
  });

  it("takes upper-case digits for what they are", () => {
    const proof = changed((block) => {
      const upper = (text: string) => `0x${text.slice(2).toUpperCase()}`;
      block.header["hash"] = upper(String(block.header["hash"]));
      block.header["receiptsRoot"] = upper(String(block.header["receiptsRoot"]));
      for (const log of withLogs(block).logs) log.address = upper(log.address);
    });
    expect(proof.level).toBe("proved");
  });

  it("is never a crash, whatever is in the place of a field", () => {
    const junk: unknown[] = [
      { toString: 1, valueOf: 1 },
      undefined,
      null,
      0,
      -1,
      "",
      "0x",
      "0xzz",
      "0x1",
      [],
      {},
      [null],
      true,
      "\u0130".repeat(66),
    ];
    const paths = [
      ...Object.keys(readBlock().header).map((name) => ["header", name]),
      ...["type", "status", "cumulativeGasUsed", "logs", "logsBloom"].map((name) => ["receipts", 0, name]),
      ...["address", "topics", "data"].map((name) => ["receipts", 0, "logs", 0, name]),
      ...["index", "validatorIndex", "address", "amount"].map((name) => ["withdrawals", 0, name]),
      ["header"],
      ["receipts", 0],
      ["receipts", 0, "logs", 0],
      ["withdrawals", 0],
      ["withdrawals"],
    ];
    const block = readBlock();
    block.receipts.splice(3); // the rest is the same and only takes time
    for (const path of paths) {
      for (const value of junk) expect(() => prove(withJunk(block, path, value))).not.toThrow();
    }
  });
});

function withJunk(block: MainnetBlock, path: readonly (string | number)[], value: unknown): MainnetBlock {
  const copy = structuredClone(block);
  let target: unknown = copy;
  for (const step of path.slice(0, -1)) target = (target as Record<string, unknown>)[step];
  (target as Record<string, unknown>)[path.at(-1) ?? ""] = value;
  return copy;
}
