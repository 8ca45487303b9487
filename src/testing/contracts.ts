/**
 * The contracts of the test chain: Solidity under `contracts/`, compiled once by solc (WebAssembly, no download)
 * and cached by the hash of what was compiled. One abi for each, as people read it.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type Hex, parseAbi } from "viem";

export const tokenAbi = parseAbi([
  "constructor(string name, string symbol, uint8 decimals)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function name() view returns (string)",
  "function symbol() view returns (string)",
  "function decimals() view returns (uint8)",
  "function balanceOf(address) view returns (uint256)",
  "function mint(address to, uint256 value)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function approve(address spender, uint256 value) returns (bool)",
  "function transferFrom(address from, address to, uint256 value) returns (bool)",
]);

/** 6 decimals, symbol FEE. */
export const feeTokenAbi = parseAbi([
  "constructor(uint256 feePercent)",
  "function mint(address to, uint256 value)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function rebase(address holder, uint256 balance)",
]);

/** Pays many at once; `token` zero is the native coin. Tokens need an `approve` of the caller first. */
export const batcherAbi = parseAbi([
  "struct Payment { address token; address to; uint256 value; }",
  "function pay(Payment[] payments) payable",
]);

/** Needs two different owners to confirm the same payment, and the tokens for it. */
export const multisigAbi = parseAbi([
  "constructor(address[] owners)",
  "function confirm(address token, address to, uint256 value)",
]);

/** Takes a payment that its holder has signed (EIP-191 over the hash of relay, token, to, value, nonce). */
export const relayAbi = parseAbi([
  "function pay(address token, address from, address to, uint256 value, uint8 v, bytes32 r, bytes32 s)",
]);

export const forwarderAbi = parseAbi([
  "function forward(address to) payable",
  "function forwardAndRevertInside(address to) payable",
  "function showWithoutMoving(address target) payable",
  "function forwardAfterPrecompile(address to) payable",
  "function forwardThrough(address next, address to) payable",
]);

/** Logs that look like a Transfer. */
export const forgerAbi = parseAbi([
  "function forgeBeside(address token, address to, uint256 real, uint256 fake)",
  "function forge(address from, address to, uint256 value)",
  "function erc721(address from, address to, uint256 tokenId)",
  "function erc1155(address from, address to, uint256 id, uint256 value)",
  "function unindexed(address from, address to, uint256 value)",
  "function raw(bytes32 from, bytes32 to, bytes data)",
]);

export const leaverAbi = parseAbi(["constructor() payable", "function depart(address to)"]);

export const makerAbi = parseAbi([
  "function make(bytes32 salt) payable",
  "function addressOf(bytes32 salt) view returns (address)",
]);

export const CONTRACTS = [
  "Token",
  "FeeToken",
  "RefusingToken",
  "Forger",
  "Batcher",
  "Multisig",
  "Relay",
  "Forwarder",
  "Leaver",
  "Maker",
  "Vault",
  "Echo",
] as const;
export type ContractName = (typeof CONTRACTS)[number];

type Codes = Readonly<Record<ContractName, Hex>>;

const SOURCES = fileURLToPath(new URL("./contracts/", import.meta.url));
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/depositd/", import.meta.url));
const require = createRequire(import.meta.url);

let codes: Codes | undefined;

/** The contract's creation code; constructor arguments are appended to it (viem's `encodeDeployData` does). */
export async function contractCode(name: ContractName): Promise<Hex> {
  codes ??= readOrCompile();
  return codes[name];
}

function readOrCompile(): Codes {
  const input = compilerInput();
  const version = (require("solc/package.json") as { version: string }).version;
  const digest = createHash("sha256").update(version).update(input).digest("hex");
  const file = `${CACHE}contracts-${digest}.json`;
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Codes;
  } catch {
    const compiled = compile(input);
    mkdirSync(CACHE, { recursive: true });
    // Test workers compile at the same time; a reader must never find half a file.
    writeFileSync(`${file}.${process.pid}`, JSON.stringify(compiled));
    renameSync(`${file}.${process.pid}`, file);
    return compiled;
  }
}

function compilerInput(): string {
  const names = readdirSync(SOURCES)
    .filter((name) => name.endsWith(".sol"))
    .sort();
  const sources = Object.fromEntries(
    names.map((name) => [name, { content: readFileSync(SOURCES + name, "utf8") }]),
  );
  const settings = {
    evmVersion: "paris", // runs on every hard fork that a test may ask for
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
  };
  return JSON.stringify({ language: "Solidity", sources, settings });
}

interface CompilerOutput {
  readonly errors?: readonly { severity: string; formattedMessage: string }[];
  readonly contracts: Readonly<Record<string, Record<string, { evm: { bytecode: { object: string } } }>>>;
}

function compile(input: string): Codes {
  const output = JSON.parse(loadCompiler().compile(input)) as CompilerOutput;
  const faults = (output.errors ?? []).filter((error) => error.severity === "error");
  if (faults.length > 0) throw new Error(faults.map((fault) => fault.formattedMessage).join("\n"));
  const compiled = Object.values(output.contracts).flatMap((contracts) => Object.entries(contracts));
  const codeByName = Object.fromEntries(
    compiled.map(([name, { evm }]) => [name, `0x${evm.bytecode.object}`]),
  );
  return codeByName as unknown as Codes;
}

/** solc's WebAssembly loader adds a listener that would turn any unhandled rejection into its own crash. */
function loadCompiler(): { compile(input: string): string } {
  const before = new Set(process.listeners("unhandledRejection"));
  const solc = require("solc") as { compile(input: string): string };
  for (const listener of process.listeners("unhandledRejection")) {
    if (!before.has(listener)) process.off("unhandledRejection", listener);
  }
  return solc;
}
