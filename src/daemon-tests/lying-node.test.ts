/** A node that knows nothing of blocks below its own head: seen by the whole daemon through a lying proxy. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { emptyList, emptyLogs, type Lie, nothing, type ProxiedCall } from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type Rig, startRig } from "./rig.ts";

const UNITS = 5_000_000n;
const RECEIPTS = ["eth_getBlockReceipts", "eth_getTransactionReceipt"];
const BLOCKS = ["eth_getBlockByHash", "eth_getBlockByNumber"];

/** Whole blocks only: headers are as they are, so that the head is known. */
const always = () => true;
const isWhole = (call: ProxiedCall) => call.params[1] === true;

describe("a node that hides what it has", () => {
  let rig: Rig;
  let proxy: NodeProxy;
  beforeAll(async () => {
    rig = await startRig({
      nodeUrl: async (anvil) => {
        proxy = await startNodeProxy(anvil.url);
        return proxy.url;
      },
    });
  });
  afterAll(async () => {
    await rig.stop();
    await proxy.stop();
  });

  const cursor = async () => {
    const [row] = await rig.test.database.query<{ cursor_number: bigint }>(
      "SELECT cursor_number FROM chains",
    );
    return row?.cursor_number;
  };

  it.each([
    ["C3", "null blocks", nothing(), BLOCKS, isWhole],
    ["C3", "null receipts", nothing(), RECEIPTS, always],
    ["C1", "no receipts", emptyList(), RECEIPTS, always],
    ["C1", "receipts without logs", emptyLogs(), RECEIPTS, always],
  ])(
    "%s: loses nothing to %s below the head; the cursor waits",
    {
      timeout: 60_000,
    },
    async (_, what, lie, methods, isToldAbout) => {
      const user = await rig.watch(`user of ${what}`);
      await rig.caughtUp();
      const before = await cursor();
      let told = 0;
      const untilToldMore = async (times: number) => {
        const enough = told + times;
        await waitFor(() => told >= enough, { timeoutMs: 20_000, what: `${times} lies` });
      };
      const counted: Lie = async (call) => {
        if (!isToldAbout(call)) return { status: 200, body: await call.forward() };
        told += 1;
        return lie(call);
      };
      const endLie = proxy.lie(counted, { methods });
      await rig.anvil.transferToken(rig.token, user, UNITS);
      // First a block at the head, then more of them: both ways to fetch are lied to.
      await rig.anvil.mine();
      await untilToldMore(2);
      await rig.anvil.mine(3);
      await untilToldMore(4);
      expect(await cursor()).toBe(before);
      expect(await rig.depositsOf(`user of ${what}`)).toEqual([]);

      endLie();
      await rig.mineDeep();
      expect(await rig.summaryOf(`user of ${what}`)).toEqual(["unlocked 5 USDT"]);
      expect(await rig.balancesOf(`user of ${what}`)).toEqual({ USDT: [0n, UNITS] });
    },
  );
});
