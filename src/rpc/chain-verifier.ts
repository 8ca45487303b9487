/**
 * Holds every block of a chain to the proof that the chain is seen to reach, whichever of its nodes tells it and
 * whoever asks: the head and the catching up share one verifier.
 *
 *   unknown    what the chain reaches is not known: the first to ask probes some of its blocks   → watching
 *   watching   every block is judged; what is proved is learned and remembered                   → watching
 *
 * The judging itself is pure and lies in `proof/proof-guard.ts`; here are its state and its voice.
 */
import { loadFastKeccak } from "../core/keccak.ts";
import {
  type BlockVerification,
  isBelow,
  UNVERIFIED,
  type Verification,
  type VerificationMode,
  type VerificationState,
} from "../core/verification.ts";
import type { Logger } from "../runtime/logger.ts";
import { AnswerRefused } from "./answer.ts";
import { expectationOf, type ProofExpectation } from "./proof/proof-expectation.ts";
import {
  expectedLevel,
  judgeBlock,
  memoryOf,
  type ProofGuard,
  provesAll,
  startGuard,
} from "./proof/proof-guard.ts";
import { type BlockProof, PROOF_PARTS, proveBlock, type RawBlock } from "./proof/proof-level.ts";
import { createRlpWriter } from "./proof/rlp.ts";

export interface ChainVerifier {
  /**
   * Goes on from what was known of the chain before.
   *
   * @param nextNumber the block that will be asked for next, if that is known: what the chain reaches there is
   * looked at too, since a chain may prove today what it did not years ago
   */
  restore(known: VerificationState, nextNumber: bigint | null): void;
  /** Returns at once when it is known what the chain reaches; else finds it out. */
  ready(signal?: AbortSignal): Promise<void>;
  /** @throws {AnswerRefused} when the block proves less than it must */
  verify(node: string, number: bigint, block: RawBlock): BlockVerification;
  /**
   * The same for a block that was proved elsewhere; `null`: nothing of it was looked at.
   *
   * @throws {AnswerRefused} when the block proves less than it must
   */
  judge(node: string, number: bigint, proof: BlockProof | null): BlockVerification;
  state(): VerificationState;
  /** The state, once after each change of it; else `null`. */
  takeChange(): VerificationState | null;
}

export interface VerificationEvents {
  /** A node's block was refused for what it does not prove. */
  onRefused(node: string): void;
  /** Less is proved than before. */
  onDropped(): void;
}

export interface ChainVerifierOptions {
  readonly mode: VerificationMode;
  readonly nodeCount: number;
  readonly logger: Logger;
  readonly events: VerificationEvents;
  /** Proves recent blocks, and those from `nextNumber` on. */
  readonly probe: (nextNumber: bigint | null, signal?: AbortSignal) => Promise<readonly BlockProof[]>;
}

/** A chain of which nothing is known yet. */
export const UNKNOWN: VerificationState = { level: null, expected: null, alarm: null, memory: null };

/** Proves nothing. */
const NO_BLOCK: RawBlock = { header: null, transactions: null, receipts: [], withdrawals: null };

export function createChainVerifier(options: ChainVerifierOptions): ChainVerifier {
  const { mode } = options;
  const writer = createRlpWriter();
  const record = createRecord(options);
  let nextNumber: bigint | null = null;
  let probing: Promise<void> | undefined;

  const probe = async (signal?: AbortSignal) => {
    await loadFastKeccak();
    const proofs = await options.probe(nextNumber, signal);
    record.begin(expectationOf(proofs));
  };
  const ready = async (signal?: AbortSignal) => {
    while (mode !== "none" && !record.isBegun()) {
      probing ??= probe(signal).finally(() => {
        probing = undefined;
      });
      await probing.catch((rawError: unknown) => {
        // Whoever began it may have given up; then it is for the next one to do.
        if (signal?.aborted === true || !isAbort(rawError)) throw rawError;
      });
    }
  };
  const judge = (node: string, number: bigint, proof: BlockProof | null) => {
    if (mode === "none") return UNVERIFIED;
    return record.judge(node, number, proof ?? proveBlock(NO_BLOCK, writer));
  };
  return {
    restore: (known, next) => {
      nextNumber = next;
      record.restore(known);
    },
    ready,
    verify: (node, number, block) => judge(node, number, mode === "none" ? null : proveBlock(block, writer)),
    judge,
    state: record.state,
    takeChange: record.takeChange,
  };
}

function isAbort(rawError: unknown): boolean {
  return rawError instanceof Error && rawError.name === "AbortError";
}

/** What is known of the chain, and what changes it. */
function createRecord({ mode, nodeCount, logger, events }: ChainVerifierOptions) {
  // A majority, and both of two: an excuse that one node makes up is none, and one dead node stops no chain.
  const nodesToAgree = Math.floor(nodeCount / 2) + 1;
  let guard: ProofGuard | undefined;
  let newest = -1n;
  let state: VerificationState = UNKNOWN;
  let taken: VerificationState = state;

  const change = (next: Partial<VerificationState>) => {
    state = { ...state, ...next };
  };
  const raise = (alarm: string, number: bigint, level: Verification) => {
    logger.error("Verification dropped", { block_number: number, verification: level, reason: alarm });
    events.onDropped();
    change({ alarm });
  };
  // Blocks are fetched side by side: each may raise an alarm, the newest alone tells how it stands now.
  const settle = (number: bigint, proof: BlockProof, alarm: string | null, isShort: boolean) => {
    const isNewest = number >= newest;
    if (isNewest) {
      newest = number;
      if (state.level !== proof.level) change({ level: proof.level });
    }
    if (alarm !== null || (isShort && isNewest && state.alarm === null)) {
      raise(alarm ?? `Blocks prove less than before: ${proof.unproved.join("; ")}`, number, proof.level);
    } else if (isNewest && !isShort && state.alarm !== null) {
      logger.info("Verification is back", { block_number: number, verification: proof.level });
      change({ alarm: null });
    }
  };
  const refuse = (node: string, number: bigint, reason: string): never => {
    events.onRefused(node);
    throw new AnswerRefused(`It proves less than it must: ${reason}`, { blockNumber: number });
  };

  return {
    state: () => state,
    takeChange: () => {
      if (taken === state) return null;
      taken = state;
      return state;
    },
    isBegun: () => guard !== undefined,
    restore: (known: VerificationState) => {
      newest = -1n;
      // An alarm that was not written down any more is one all the same; the next block that proves all ends it.
      state = { ...known, alarm: known.alarm ?? state.alarm };
      taken = known;
      const witnesses = guard?.witnesses;
      guard = known.memory === null ? undefined : startGuard(readMemory(known.memory), nodesToAgree);
      if (guard !== undefined && witnesses !== undefined) guard = { ...guard, witnesses };
    },
    begin: (expectation: ProofExpectation) => {
      guard = startGuard(expectation, nodesToAgree);
      const expected = expectedLevel(guard);
      change({ expected, memory: memoryOf(guard) });
      logger.info("Found out what the blocks of a chain prove", {
        verification: expected,
        parts: expectation.parts,
        shortfalls: expectation.shortfalls,
      });
    },
    judge: (node: string, number: bigint, proof: BlockProof): BlockVerification => {
      const before = guard ?? startGuard(NOTHING, nodesToAgree);
      if (mode !== "auto" && isBelow(proof.level, mode)) {
        refuse(node, number, `${proof.unproved.join("; ")} (verification: ${mode} in the config)`);
      }
      // The operator asks for no more than blooms: what the chain reached before is not held against it.
      if (mode === "bloom") {
        settle(number, proof, null, false);
        return verificationOfBlock(proof);
      }
      const judged = judgeBlock(before, node, proof);
      guard = judged.guard;
      if (judged.verdict.kind === "refuse") return refuse(node, number, judged.verdict.reason);
      if (isMoreKnown(before, guard)) change({ expected: expectedLevel(guard), memory: memoryOf(guard) });
      settle(number, proof, judged.verdict.alarm, !provesAll(before, proof));
      return verificationOfBlock(proof);
    },
  };
}

const NOTHING: ProofExpectation = { parts: [], shortfalls: [], familiar: [] };

/** The lists are ours, but parts may have been of another version. */
function readMemory({ parts, shortfalls, familiar }: NonNullable<VerificationState["memory"]>) {
  return {
    parts: PROOF_PARTS.filter((part) => parts.includes(part)),
    shortfalls: PROOF_PARTS.filter((part) => shortfalls.includes(part)),
    familiar,
  };
}

/** How long a streak has become is not remembered. */
function isMoreKnown(before: ProofGuard, after: ProofGuard): boolean {
  return (
    after.parts !== before.parts ||
    after.familiar !== before.familiar ||
    after.shortfalls.size !== before.shortfalls.size
  );
}

/** A root that proves the logs proves their bloom too; so where only the transactions' hashes are not sure, that is left. */
function verificationOfBlock({ level, sure }: BlockProof): BlockVerification {
  const logs = sure.tokenLogs ? (sure.transactionHashes ? "proved" : "bloom") : level;
  return {
    level,
    logs,
    values: sure.nativeValue ? "proved" : "none",
    withdrawals: sure.withdrawals ? "proved" : "none",
  };
}
