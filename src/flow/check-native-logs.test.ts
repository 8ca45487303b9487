/** A chain of which the config says that it writes logs for native transfers, and whether it does. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NATIVE_LOG_ADDRESS, type NativeSource } from "../core/chain.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import { addressOf, assetOf, USDT } from "../testing/factory.ts";
import { type ProxiedNodes, startProxiedNodes } from "../testing/proxied-nodes.ts";
import { testChain } from "../testing/test-chain.ts";
import { checkNativeLogs, nativeLogsOf } from "./check-native-logs.ts";

describe("D15: native transfers that are to be found by their logs", () => {
  let rig: ProxiedNodes;
  beforeAll(async () => {
    rig = await startProxiedNodes();
  });
  afterAll(async () => {
    await rig.reset();
    await rig.stop();
  });
  const alarmsOf = async (nativeSource: NativeSource, assets = [assetOf()]) => {
    const alarms: string[] = [];
    const logger = { error: (sentence: string) => void alarms.push(sentence) };
    await checkNativeLogs({ chain: testChain([], { nativeSource, assets }), nodes: rig.one(), logger });
    return alarms;
  };

  it("D15: are taken at the config's word while no native transfer tells otherwise", async () => {
    expect(await alarmsOf("eip7708")).toEqual([]);
  });

  it("D15: raise the alarm on a chain that writes none", async () => {
    const { chain } = rig;
    await chain.sendEth(addressOf("somebody"), 1n);
    await chain.mine(5);
    expect(await alarmsOf("eip7708")).toEqual(["Native deposits are not found"]);
    expect(await alarmsOf("value")).toEqual([]);
    expect(await alarmsOf("eip7708", [assetOf({ token: USDT, currency: "USDT" })])).toEqual([]);
  });

  it("D15: are nothing that a failed transaction, or one to its own sender, tells of", async () => {
    const { chain } = rig;
    await chain.mine(16);
    await chain.sendEth(chain.account(1).address.toLowerCase() as `0x${string}`, 1n, chain.account(1));
    await chain.mine(1);
    expect(await alarmsOf("eip7708")).toEqual([]);
  });
});

describe("the logs of a block", () => {
  const [payer, payee] = [addressOf("payer"), addressOf("payee")];
  const blockOf = (status: "0x0" | "0x1", logs: readonly { readonly address: string }[], to = payee) =>
    ({
      transactions: [{ from: payer, to, value: "0x1" }],
      receipts: [{ status, logs }],
    }) as unknown as FetchedBlock;

  it("tell that native transfers have logs, or have none, or nothing of it", () => {
    expect(nativeLogsOf(blockOf("0x1", [{ address: NATIVE_LOG_ADDRESS }]))).toBe("written");
    expect(nativeLogsOf(blockOf("0x1", [{ address: USDT }]))).toBe("missing");
    expect(nativeLogsOf(blockOf("0x0", []))).toBe("unknown");
    expect(nativeLogsOf(blockOf("0x1", [], payer))).toBe("unknown");
  });
});
