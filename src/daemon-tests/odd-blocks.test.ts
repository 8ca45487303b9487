/** Blocks with parts that a developer's node does not make: the whole daemon behind a proxy that adds them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { changed, type RpcBody } from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;
const UNKNOWN_TYPE = "0x66";
const WHOLE_BLOCKS = ["eth_getBlockByHash", "eth_getBlockByNumber"];

describe("blocks with parts that not every chain has", () => {
  let rig: Rig;
  let proxy: NodeProxy;
  beforeAll(async () => {
    rig = await startRig({
      nodeUrl: async (anvil) => {
        proxy = await startNodeProxy(anvil.url);
        return proxy.url;
      },
      // What is added here is in no root; that such blocks are proved is shown with the real ones of mainnet.
      chain: { verification: "none" },
    });
  });
  afterAll(async () => {
    await rig.stop();
    await proxy.stop();
  });

  it("D5: credits validator withdrawals, in wei, each under its own index, once", async () => {
    const alice = await rig.watch("alice");
    const { number } = await rig.anvil.head();
    const withdrawals = ["0x7", "0x8"].map((index) => ({
      index,
      validatorIndex: "0x3",
      address: alice,
      amount: `0x${(1_500_000_000).toString(16)}`, // gwei
    }));
    proxy.lie(
      changed((block) =>
        Number((block as RpcBody | null)?.["number"]) === Number(number + 1n)
          ? { ...(block as RpcBody), withdrawals }
          : block,
      ),
      { methods: WHOLE_BLOCKS },
    );
    await rig.mineDeep();
    proxy.tellTruth();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1.5 ETH", "unlocked 1.5 ETH"]);
    const deposits = await rig.depositsOf("alice");
    expect(deposits.map(({ source, txHash }) => [source, txHash])).toEqual([
      ["withdrawal:7", null],
      ["withdrawal:8", null],
    ]);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, 3n * ETHER] });
  });

  it("D10: credits the rest of a block that holds a transaction of an unknown type, and that one's value too", async () => {
    const bob = await rig.watch("bob");
    const carol = await rig.watch("carol");
    await rig.anvil.sendEth(bob, ETHER);
    await rig.anvil.transferToken(rig.token, carol, 3_000_000n, rig.anvil.account(1));
    proxy.lie(
      changed((block) => {
        const { transactions, ...rest } = block as RpcBody & { transactions: (RpcBody | string)[] };
        const odd = (transaction: RpcBody | string) =>
          typeof transaction === "object" && transaction["to"] === bob ? typed(transaction) : transaction;
        return { ...rest, transactions: transactions.map(odd) };
      }),
      { methods: WHOLE_BLOCKS },
    );
    await rig.mineDeep();
    proxy.tellTruth();
    expect(await rig.summaryOf("bob")).toEqual(["unlocked 1 ETH"]);
    expect(await rig.summaryOf("carol")).toEqual(["unlocked 3 USDT"]);
  });
});

describe("a transaction of an unknown type on a chain that proved all before", () => {
  let rig: Rig;
  let proxy: NodeProxy;
  beforeAll(async () => {
    rig = await startRig({
      nodeUrl: async (anvil) => {
        await anvil.mine(3);
        proxy = await startNodeProxy(anvil.url);
        return proxy.url;
      },
    });
  });
  afterAll(async () => {
    await rig.stop();
    await proxy.stop();
  });

  it("D10: is credited, with an alarm", { timeout: 60_000 }, async () => {
    const dave = await rig.watch("dave");
    await rig.anvil.sendEth(dave, ETHER);
    await rig.mineDeep();
    proxy.lie(
      changed((block) => {
        const { transactions, ...rest } = block as RpcBody & { transactions: (RpcBody | string)[] };
        return { ...rest, transactions: transactions.map(typed) };
      }),
      { methods: WHOLE_BLOCKS },
    );
    proxy.lie(
      changed((receipts) => (receipts as RpcBody[]).map(typed)),
      { methods: ["eth_getBlockReceipts"] },
    );
    await rig.anvil.sendEth(dave, ETHER);
    await rig.mineDeep();
    expect(await rig.summaryOf("dave")).toEqual(["unlocked 1 ETH", "unlocked 1 ETH"]);
    const alarms = rig.daemon.log().filter((line) => /error|warn/.test(line.level ?? ""));
    expect(JSON.stringify(alarms)).toMatch(/0x66/);
  });
});

/** Receipts and transactions say the same type. */
function typed(item: RpcBody | string): RpcBody | string {
  return typeof item === "object" ? { ...item, type: UNKNOWN_TYPE, unheardOf: "0x1" } : item;
}
