/** What a token's contract says of itself: ERC-20's optional `decimals()` and `symbol()`. */
import { DepositdError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { Ask } from "./json-rpc.ts";

export interface TokenWords {
  /** `null` when the contract does not say, or there is none. */
  readonly decimals: number | null;
  readonly symbol: string | null;
}

const DECIMALS = "0x313ce567";
const SYMBOL = "0x95d89b41";

export async function askTokenWords(ask: Ask, token: Address, signal?: AbortSignal): Promise<TokenWords> {
  const [decimals, symbol] = await Promise.all([
    call(ask, token, DECIMALS, signal),
    call(ask, token, SYMBOL, signal),
  ]);
  return { decimals: readDecimals(decimals), symbol: readSymbol(symbol) };
}

/** The bytes it returns; none when the call reverts, or nothing is there. */
async function call(ask: Ask, to: Address, data: string, signal: AbortSignal | undefined): Promise<Buffer> {
  try {
    const answer = await ask("eth_call", [{ to, data }, "latest"], signal);
    const isHex = typeof answer === "string" && /^0x(?:[0-9a-fA-F]{2}){0,4096}$/.test(answer);
    return isHex ? Buffer.from(answer.slice(2), "hex") : Buffer.alloc(0);
  } catch (rawError) {
    if (rawError instanceof DepositdError && rawError.code === "node_error") return Buffer.alloc(0);
    throw rawError;
  }
}

function readDecimals(bytes: Buffer): number | null {
  if (bytes.length !== 32 || !bytes.subarray(0, 31).every((byte) => byte === 0)) return null;
  return bytes.readUInt8(31);
}

/** A string as ABI writes it, or 32 bytes filled up with zeros, as tokens from before that was settled do. */
function readSymbol(bytes: Buffer): string | null {
  if (bytes.length === 32) return clean(bytes);
  if (bytes.length < 64 || bytes.readUInt32BE(28) !== 32) return null;
  const length = bytes.readUInt32BE(60);
  return 64 + length > bytes.length ? null : clean(bytes.subarray(64, 64 + length));
}

function clean(bytes: Buffer): string | null {
  const text = bytes.toString("utf8").replace(/\0+$/, "");
  return text === "" ? null : text;
}
