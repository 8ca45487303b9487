/** What holds a deposit before its credit, seen from outside the whole daemon: limits, sender lists, screening. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFunctionData } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Address, checksumAddress } from "../core/hex.ts";
import { tokenAbi } from "../testing/contracts.ts";
import type { DepositView } from "../testing/daemon-api.ts";
import { addressOf } from "../testing/factory.ts";
import { type Sink, type SinkAnswer, startSink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";
import { CREDIT_DEPTH, type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;
const USDT = 10n ** 6n;
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

describe("the review before a credit", () => {
  let folder: string;
  let list: string;
  let service: Sink;
  let rig: Rig;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "depositd-review-"));
    list = join(folder, "senders.csv");
    await writeFile(list, `name,address\nSomebody,${addressOf("somebody")}\n`);
    service = await startSink();
    service.answer(approve);
    rig = await startRig({ config: { review: review("5") } });
  });
  afterAll(async () => {
    await rig.stop();
    await service.close();
    await rm(folder, { recursive: true });
  });

  const approve = { status: 200, body: JSON.stringify({ answer: "approve" }) };
  const review = (over: string) => ({
    limits: [{ currency: "ETH", over }],
    senderLists: [list],
    screening: {
      url: `${service.url}/screen`,
      secret: SECRET,
      timeout: "5s",
      schedule: ["0s", "100ms", "100ms"],
    },
  });
  const payeeIn = ({ body }: Sink["requests"][number]) =>
    (JSON.parse(body.toString("utf8")) as { to: string }).to;
  const isAsked = (to: Address) =>
    service.requests.some((request) => payeeIn(request) === checksumAddress(to));
  /** Answers so about payments to this address, and approves all others. */
  const answerAbout = (to: Address, given: SinkAnswer) =>
    service.answer((request) => (payeeIn(request) === checksumAddress(to) ? given : approve));
  const listSenders = async (text: string, sentence: string) => {
    const told = rig.daemon.log().filter(({ msg }) => msg === sentence).length;
    await writeFile(list, text);
    await waitFor(() => rig.daemon.log().filter(({ msg }) => msg === sentence).length > told, {
      what: sentence,
    });
  };
  const onlyDepositOf = async (userId: string): Promise<DepositView> => {
    const [deposit, ...others] = await rig.depositsOf(userId);
    if (deposit === undefined || others.length > 0) throw new Error(`${userId} has not one deposit`);
    return deposit;
  };
  /** Held with its callback, and in no balance. */
  const expectHeld = async (userId: string, reason: string) => {
    const deposit = await onlyDepositOf(userId);
    expect(deposit).toMatchObject({ status: "held", reason, creditedAt: null });
    const told = await rig.receiver.untilTold(deposit.id, "held");
    expect([told.type, told.data.reason]).toEqual(["deposit.held", reason]);
    expect(rig.receiver.toldOf(deposit.id)).toEqual(["pending", "held"]);
    expect((await rig.api.deposit(deposit.id)).waitsFor).toBe("waiting for a review");
    expect(await rig.balancesOf(userId)).toEqual({});
  };
  /** Takes tokens of one account by the transaction of another. */
  const pull = async (from: number, by: number, to: Address) => {
    const { anvil, token } = rig;
    const call = (functionName: "approve" | "transferFrom", args: readonly unknown[]) =>
      encodeFunctionData({ abi: tokenAbi, functionName, args } as never);
    const spender = anvil.account(by);
    await anvil.send({
      from: anvil.account(from),
      to: token.address,
      data: call("approve", [spender.address, USDT]),
    });
    await anvil.send({
      from: spender,
      to: token.address,
      data: call("transferFrom", [anvil.account(from).address, to, USDT]),
    });
  };

  it("holds what is over the limit, and credits what is exactly at it", async () => {
    const [alice, bob] = [await rig.watch("alice"), await rig.watch("bob")];
    await rig.anvil.sendEth(alice, 5n * ETHER + 1n);
    await rig.anvil.sendEth(bob, 5n * ETHER);
    await rig.mineDeep();
    await expectHeld("alice", "amount_over_limit");
    expect(await rig.summaryOf("bob")).toEqual(["unlocked 5 ETH"]);
  });

  it("holds what a listed account sends, in tokens too, from the moment its list is read again", async () => {
    const mallory = rig.anvil.account(4);
    await rig.watch("carol");
    const carol = addressOf("user carol");
    await rig.anvil.transferToken(rig.token, carol, USDT, mallory);
    await rig.mineDeep();
    expect(await rig.summaryOf("carol")).toEqual(["unlocked 1 USDT"]);

    await listSenders(
      `name,address\nMallory,${mallory.address}\nTrudy,${rig.anvil.account(5).address}\n`,
      "Read a changed sender list",
    );
    const [dave, erin] = [await rig.watch("dave"), await rig.watch("erin")];
    await rig.anvil.transferToken(rig.token, dave, USDT, mallory);
    await rig.anvil.sendEth(erin, ETHER, mallory);
    await rig.mineDeep();
    await expectHeld("dave", "sender_listed");
    await expectHeld("erin", "sender_listed");
  });

  it("holds what a listed account only moves, and what is only taken from one", async () => {
    const [frank, grace] = [await rig.watch("frank"), await rig.watch("grace")];
    await pull(6, 5, frank); // Trudy (5) sends the transaction, of another's tokens
    await pull(4, 7, grace); // Mallory's (4) tokens, in another's transaction
    await rig.mineDeep();
    await expectHeld("frank", "sender_listed");
    await expectHeld("grace", "sender_listed");
    const shown = await onlyDepositOf("frank");
    expect([shown.from, shown.sender]).toEqual(
      [6, 5].map((account) => checksumAddress(rig.anvil.account(account).address.toLowerCase() as Address)),
    );
  });

  it("keeps the list it has when the file becomes faulty, and says so where operators look", async () => {
    await listSenders("name,address\nMallory,0x12\n", "Kept a sender list as it was");
    const heidi = await rig.watch("heidi");
    await rig.anvil.sendEth(heidi, ETHER, rig.anvil.account(4));
    await rig.mineDeep();
    await expectHeld("heidi", "sender_listed");
    expect((await rig.daemon.readyz()).body).toMatchObject({
      ready: true,
      notes: [expect.stringMatching(/line 2: .* the 2 addresses read at .* stay in force$/)],
    });
    const metrics = (await rig.api.call<string>("GET", "/metrics")).body;
    expect(metrics).toContain(`depositd_sender_list_faulty{file="${list}"} 1`);
    expect(metrics).toContain(`depositd_sender_list_addresses{file="${list}"} 2`);
    expect(metrics).toMatch(/depositd_deposits_held\{chain_id="\d+",reason="sender_listed"\} 5/);
    await listSenders(`${rig.anvil.account(4).address}\n`, "Read a changed sender list");
    expect((await rig.daemon.readyz()).body).toMatchObject({ notes: [] });
  });

  it("holds and rejects as the screening service answers, and credits what it approves", async () => {
    const ivan = await rig.watch("ivan");
    answerAbout(ivan, { status: 200, body: JSON.stringify({ answer: "hold", note: "seen in a mixer" }) });
    await rig.anvil.sendEth(ivan, ETHER);
    await rig.mineDeep();
    await expectHeld("ivan", "screening");

    const judy = await rig.watch("judy");
    answerAbout(judy, { status: 200, body: JSON.stringify({ answer: "reject" }) });
    await rig.anvil.sendEth(judy, ETHER);
    await rig.mineDeep();
    const refused = await onlyDepositOf("judy");
    await rig.receiver.untilTold(refused.id, "rejected");
    expect(rig.receiver.toldOf(refused.id)).toEqual(["pending", "held", "rejected"]);
    expect([refused.status, refused.reason]).toEqual(["rejected", "screening"]);
    expect(await rig.balancesOf("judy")).toEqual({});

    const mike = await rig.watch("mike");
    await rig.anvil.sendEth(mike, ETHER);
    await rig.mineDeep();
    expect(await rig.summaryOf("mike")).toEqual(["unlocked 1 ETH"]);
  });

  it("credits nothing while the service does not answer, shows it, and holds it in the end", async () => {
    const nina = await rig.watch("nina");
    answerAbout(nina, { trouble: "hang" });
    await rig.anvil.sendEth(nina, ETHER);
    await rig.anvil.mine(CREDIT_DEPTH);
    await rig.caughtUp();
    const { id } = await onlyDepositOf("nina");
    await waitFor(
      async () => /^waiting for screening since /.test((await rig.api.deposit(id)).waitsFor ?? ""),
      {
        what: "the deposit to say that it waits for screening",
      },
    );
    await waitFor(() => isAsked(nina), { what: "the question" });
    answerAbout(nina, { status: 503 });
    // The question under way ends at its time limit; those after it are answered, with nothing.
    await rig.quiet(120_000);
    await expectHeld("nina", "screening_no_answer");
  });

  it("B1: orphans a held deposit that leaves by a reorg, and holds it again where it is included again", async () => {
    const olga = await rig.watch("olga");
    const payment = await rig.anvil.sign({ to: olga, valueWei: 6n * ETHER });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [payment] }, {}, {}, {}]);
    await rig.quiet();
    const held = await onlyDepositOf("olga");
    expect(held.status).toBe("held");
    await rig.anvil.mineBranch(point, [{}, { transactions: [payment] }, {}, {}, {}, {}, {}]);
    await rig.quiet();
    expect(await onlyDepositOf("olga")).toMatchObject({ id: held.id, status: "held", sequence: 5 });
    await rig.receiver.untilTold(held.id, "held");
    await waitFor(() => rig.receiver.toldOf(held.id).length === 5, { what: "all five moves to be told" });
    expect(rig.receiver.toldOf(held.id)).toEqual(["pending", "held", "orphaned", "pending", "held"]);
  });

  it("H2: asks again after a kill in the middle of a question, and credits once what is approved", async () => {
    const quentin = await rig.watch("quentin");
    answerAbout(quentin, { trouble: "hang" });
    await rig.anvil.sendEth(quentin, ETHER);
    await rig.anvil.mine(CREDIT_DEPTH);
    await waitFor(() => isAsked(quentin), { what: "the question" });
    await rig.daemon.kill("SIGKILL");
    service.answer(approve);
    await rig.expireHolds();
    await rig.daemon.start();
    await rig.mineDeep(120_000);
    expect(await rig.summaryOf("quentin")).toEqual(["unlocked 1 ETH"]);
    const { id } = await onlyDepositOf("quentin");
    expect(rig.receiver.toldOf(id)).toEqual(["pending", "credited", "unlocked"]);
    const attempts = await rig.test.database.query(
      "SELECT state, failures FROM screenings WHERE deposit_id = $1",
      [id],
    );
    expect(attempts).toEqual([{ state: "approve", failures: 0 }]);
  });

  it("H5: judges by a raised limit what is not credited yet, and holds on to what is held", async () => {
    await rig.daemon.configure({ ...rig.config, more: { review: review("10") } });
    await rig.daemon
      .process()
      .line(({ msg, path }) => msg === "Changed the config in force" && path === "review.limits");
    const peggy = await rig.watch("peggy");
    await rig.anvil.sendEth(peggy, 6n * ETHER);
    await rig.mineDeep();
    expect(await rig.summaryOf("peggy")).toEqual(["unlocked 6 ETH"]);
    expect((await onlyDepositOf("alice")).status).toBe("held");
    expect(JSON.stringify(rig.daemon.log())).not.toContain(SECRET.slice("whsec_".length));
  });
});
