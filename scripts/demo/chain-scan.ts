/**
 * What the chain says, found without any of the daemon's code: every transaction of every block is looked at by
 * itself, with its receipt and its trace. At the end the sums are held against the balances that the chain's own
 * state has for these addresses, since nobody here ever spends: a scan that overlooks something is noticed.
 */
import { type AssetPart, baseUnits, type Cast, ETH, USDT, type User } from "./cast.ts";

/** One movement of value to a user, of a listed asset. */
export interface Received {
  readonly user: User;
  readonly asset: AssetPart;
  readonly amountBaseUnits: bigint;
}

interface Block {
  readonly transactions: readonly { readonly hash: string }[];
}

interface Receipt {
  readonly status: string;
  readonly logs: readonly {
    readonly address: string;
    readonly topics: readonly string[];
    readonly data: string;
  }[];
}

/** A call as the `callTracer` shows it. */
interface Call {
  readonly type: string;
  readonly to?: string;
  readonly value?: string;
  readonly error?: string;
  readonly calls?: readonly Call[];
}

type Ask = <Answer>(method: string, ...params: unknown[]) => Promise<Answer>;

// keccak256("Transfer(address,address,uint256)")
const TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
// The first four bytes of keccak256("balanceOf(address)")
const BALANCE_OF = "0x70a08231";
const MOVES_VALUE = new Set(["CALL", "CREATE", "CREATE2", "SELFDESTRUCT"]);

/** @throws {Error} when the scan and the chain's own balances differ */
export async function scanChain(url: string, cast: Cast): Promise<Received[]> {
  const ask = askNode(url);
  const users = new Map(
    Object.entries(cast.addressOf).map(([user, address]) => [address.toLowerCase(), user as User]),
  );
  const received: Received[] = [];
  const head = Number(await ask<string>("eth_blockNumber"));
  for (let number = 0; number <= head; number++) {
    const block = await ask<Block>("eth_getBlockByNumber", hex(number), true);
    for (const { hash } of block.transactions) {
      received.push(...(await readTransaction(ask, hash, users, cast)));
    }
  }
  for (const [address, user] of users) await checkBalances(ask, address, user, cast, received);
  return received;
}

async function readTransaction(
  ask: Ask,
  hash: string,
  users: ReadonlyMap<string, User>,
  cast: Cast,
): Promise<Received[]> {
  const receipt = await ask<Receipt>("eth_getTransactionReceipt", hash);
  if (receipt.status !== "0x1") return [];
  const coins = coinsMoved(await ask<Call>("debug_traceTransaction", hash, { tracer: "callTracer" }));
  const tokens = receipt.logs
    .filter(
      ({ address, topics }) => address.toLowerCase() === cast.usdt.toLowerCase() && topics[0] === TRANSFER,
    )
    .map(({ topics, data }) => ({ to: `0x${topics[2]?.slice(-40)}`, amountBaseUnits: BigInt(data) }));
  const toUsers = (asset: AssetPart) => (move: { to: string; amountBaseUnits: bigint }) => {
    const user = users.get(move.to.toLowerCase());
    return user === undefined ? [] : [{ user, asset, amountBaseUnits: move.amountBaseUnits }];
  };
  return [...coins.flatMap(toUsers(ETH)), ...tokens.flatMap(toUsers(USDT))];
}

/** A call that failed takes everything within it back. */
function coinsMoved(call: Call): { to: string; amountBaseUnits: bigint }[] {
  if (call.error !== undefined) return [];
  const amountBaseUnits = BigInt(call.value ?? "0x0");
  const own =
    MOVES_VALUE.has(call.type) && amountBaseUnits > 0n ? [{ to: call.to ?? "", amountBaseUnits }] : [];
  return [...own, ...(call.calls ?? []).flatMap(coinsMoved)];
}

async function checkBalances(
  ask: Ask,
  address: string,
  user: User,
  cast: Cast,
  received: readonly Received[],
): Promise<void> {
  const balanceOf = { to: cast.usdt, data: BALANCE_OF + address.slice(2).padStart(64, "0") };
  const balances = [
    { asset: ETH, balance: BigInt(await ask<string>("eth_getBalance", address, "latest")) },
    { asset: USDT, balance: BigInt(await ask<string>("eth_call", balanceOf, "latest")) },
  ];
  for (const { asset, balance } of balances) {
    const total = totalOf(received, user, asset, 0n);
    if (total !== balance) {
      throw new Error(
        `The demo's own scan found ${total} ${asset.currency} for ${user}, but the chain has ${balance}`,
      );
    }
  }
}

/** What is to be credited: all that is not below the minimum. */
export function creditable(received: readonly Received[], user: User, asset: AssetPart): bigint {
  return totalOf(received, user, asset, baseUnits(asset, asset.minimum));
}

function totalOf(received: readonly Received[], user: User, asset: AssetPart, minimum: bigint): bigint {
  return received
    .filter((each) => each.user === user && each.asset === asset && each.amountBaseUnits >= minimum)
    .reduce((total, { amountBaseUnits }) => total + amountBaseUnits, 0n);
}

function askNode(url: string): Ask {
  return async <Answer>(method: string, ...params: unknown[]) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const { result, error } = (await response.json()) as { result?: Answer; error?: { message: string } };
    if (result === undefined) throw new Error(`${method}: ${error?.message ?? "no result"}`);
    return result;
  };
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}
