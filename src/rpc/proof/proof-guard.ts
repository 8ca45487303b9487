/**
 * Holds a chain to the proof it was seen to reach.
 *
 *     probe at start ──expectationOf──▶ expectation ──startGuard──▶ guard ──judgeBlock──▶ accept │ refuse
 *
 * Each block must prove every part that the probed blocks proved. One that does not is refused: a log was left
 * out, a deposit invented, or two blocks mixed up; another node is asked. There is one innocent reason, a fork
 * that adds what this program cannot encode, and it leaves a trace: a name (of a header's field, a receipt's
 * field, a type) that was in no proved block before. Such a name **excuses** the part it belongs to:
 *
 * - a new type of transaction that proved receipts hold excuses the transactions' root at once, since no node
 *   can invent it: the block is accepted, the first time with an alarm;
 * - any other new name may be a lie, told in order to be believed without proof. It excuses nothing until
 *   `nodesToAgree` different nodes have shown it in blocks that do not prove; then with an alarm, and from then
 *   on in silence. Blocks without that name, as those before the fork, must prove all that they did.
 *
 * An excuse is for one part alone: after a fork of the header the receipts still have to make the root that the
 * header tells. Names are learned from proved blocks, so a new one that is harmless (a node's new version tells
 * more than before) is no excuse later.
 *
 * Everything here is pure: `judgeBlock` answers the next guard beside its verdict.
 */
import type { Verification } from "../../core/verification.ts";
import { provedNames } from "./block-shape.ts";
import { levelOf, type ProofExpectation, tellsOf } from "./proof-expectation.ts";
import { type BlockProof, PROOF_PARTS, type ProofPart } from "./proof-level.ts";

export interface ProofGuard {
  /** What every block must prove. */
  readonly parts: readonly ProofPart[];
  /** Parts that some block did not prove, and how many blocks in a row have proved them since. */
  readonly shortfalls: ReadonlyMap<ProofPart, number>;
  /** How many different nodes must show a new name before it excuses a part. */
  readonly nodesToAgree: number;
  /** Names that were in proved blocks. */
  readonly familiar: ReadonlySet<string>;
  /** Which nodes have shown a new name in a block that does not prove. */
  readonly witnesses: ReadonlyMap<string, ReadonlySet<string>>;
}

export type ProofVerdict =
  /** `alarm`: why, from this block on, less is proved than before. A person should know. */
  | { readonly kind: "accept"; readonly level: Verification; readonly alarm: string | null }
  | { readonly kind: "refuse"; readonly reason: string };

export interface Judgement {
  readonly guard: ProofGuard;
  readonly verdict: ProofVerdict;
}

/**
 * @param expectation of the probed blocks, or what was remembered
 * @param nodesToAgree at least 1; best, as many as the chain has nodes. With one node its word is all there is.
 */
export function startGuard(expectation: ProofExpectation, nodesToAgree: number): ProofGuard {
  return {
    parts: expectation.parts,
    shortfalls: new Map(expectation.shortfalls.map((part) => [part, 0])),
    nodesToAgree: Math.max(1, nodesToAgree),
    familiar: new Set(expectation.familiar),
    witnesses: new Map(),
  };
}

/** What can be remembered of a guard from one start to the next: all but who told of news. */
export function memoryOf({ parts, shortfalls, familiar }: ProofGuard): ProofExpectation {
  return { parts, shortfalls: [...shortfalls.keys()], familiar: [...familiar] };
}

/** The level that the guard's chain reaches, as far as is known. */
export function expectedLevel({ parts, shortfalls }: ProofGuard): Verification {
  return levelOf(parts, shortfalls);
}

/** @param node the name of the node that told the block */
export function judgeBlock(guard: ProofGuard, node: string, proof: BlockProof): Judgement {
  const failing = guard.parts.filter((part) => !isHeld(proof, part));
  const judged = judgeFailing(guard, node, proof, failing);
  // What is refused teaches nothing but who has told it.
  return judged.verdict.kind === "refuse" ? judged : { ...judged, guard: learn(judged.guard, proof) };
}

function judgeFailing(
  guard: ProofGuard,
  node: string,
  proof: BlockProof,
  failing: readonly ProofPart[],
): Judgement {
  if (failing.length === 0) return { guard, verdict: accept(proof) };
  if (failing.every((part) => part === "transactions") && hasProvedStranger(proof)) {
    const types = proof.shape.filter((name) => name.startsWith("type.") && !guard.familiar.has(name));
    return { guard, verdict: accept(proof, types) };
  }
  const excuses = failing.map((part) => excusesFor(guard, proof, part));
  if (excuses.some((names) => names.length === 0)) return { guard, verdict: refuse(proof, "") };
  const next = addWitness(guard, node, excuses.flat());
  const isExcused = (by: ProofGuard) => excuses.every((names) => names.some((name) => isAgreed(by, name)));
  if (isExcused(guard)) return { guard: next, verdict: accept(proof) };
  if (isExcused(next)) {
    const agreed = excuses.flat().filter((name) => isAgreed(next, name));
    return { guard: next, verdict: accept(proof, agreed) };
  }
  const wanted = `. New in it: ${listNames(excuses.flat())}; ${guard.nodesToAgree} nodes must tell it before it is believed`;
  return { guard: next, verdict: refuse(proof, wanted) };
}

/** Whether the block proves all that the guard expects. */
export function provesAll(guard: ProofGuard, proof: BlockProof): boolean {
  return guard.parts.every((part) => isHeld(proof, part));
}

/** What was not looked at is not held against the block: whoever fetched it did not ask. */
function isHeld(proof: BlockProof, part: ProofPart): boolean {
  const found = proof.parts[part];
  return found.isProved || found.doubt === "not_asked";
}

/** The type that keeps the transactions' root from being computed stands in receipts that are proved. */
function hasProvedStranger({ parts }: BlockProof): boolean {
  const { header, receipts, transactions } = parts;
  return header.isProved && receipts.isProved && !transactions.isProved && transactions.doubt === "unknown";
}

const SCOPES: Readonly<Record<ProofPart, readonly string[]>> = {
  header: ["header."],
  receipts: ["receipt."],
  transactions: ["type."],
  withdrawals: [],
  bloom: [],
};

/** New names that may be why this part is not proved. */
function excusesFor(guard: ProofGuard, proof: BlockProof, part: ProofPart): string[] {
  const found = proof.parts[part];
  // A root over types that are all known differs for no innocent reason, nor is a field missing for one.
  const excusable = part === "transactions" ? "unknown" : "differs";
  if (found.isProved || found.doubt !== excusable) return [];
  return proof.shape.filter(
    (name) => !guard.familiar.has(name) && SCOPES[part].some((scope) => name.startsWith(scope)),
  );
}

function isAgreed(guard: ProofGuard, name: string): boolean {
  return (guard.witnesses.get(name)?.size ?? 0) >= guard.nodesToAgree;
}

/** Names come from outside; a node that tells thousands of them shall not fill the memory. */
const MAX_NAMES = 1_000;

function addWitness(guard: ProofGuard, node: string, names: readonly string[]): ProofGuard {
  const isNothingNew = names.every((name) => guard.witnesses.get(name)?.has(node) === true);
  if (isNothingNew) return guard;
  const witnesses = new Map(guard.witnesses);
  for (const name of names) {
    if (!witnesses.has(name) && witnesses.size >= MAX_NAMES) continue;
    witnesses.set(name, new Set(witnesses.get(name)).add(node));
  }
  return { ...guard, witnesses };
}

function learn(guard: ProofGuard, proof: BlockProof): ProofGuard {
  return learnNames(learnParts(guard, proof), proof);
}

/**
 * Longer than the longest rhythm of blocks that are known to fall out of line: the last of each 16 of Polygon's,
 * before its fork of late 2025.
 */
const TRUSTED_STREAK = 64;

function learnParts(guard: ProofGuard, proof: BlockProof): ProofGuard {
  let next = guard;
  for (const part of PROOF_PARTS) {
    const told = guard.parts.includes(part) ? "nothing" : tellsOf(part, proof);
    if (told !== "nothing") next = learnPart(next, part, told === "holds");
  }
  return next;
}

function learnPart(guard: ProofGuard, part: ProofPart, isProved: boolean): ProofGuard {
  const before = guard.shortfalls.get(part);
  const shortfalls = new Map(guard.shortfalls);
  if (!isProved) {
    if (before === 0) return guard;
    return { ...guard, shortfalls: shortfalls.set(part, 0) };
  }
  if (before !== undefined && before + 1 < TRUSTED_STREAK) {
    return { ...guard, shortfalls: shortfalls.set(part, before + 1) };
  }
  shortfalls.delete(part);
  return { ...guard, shortfalls, parts: [...guard.parts, part] };
}

function learnNames(guard: ProofGuard, proof: BlockProof): ProofGuard {
  const names = provedNames(proof).filter((name) => !guard.familiar.has(name));
  if (names.length === 0 || guard.familiar.size >= MAX_NAMES) return guard;
  return { ...guard, familiar: new Set([...guard.familiar, ...names]) };
}

function accept(proof: BlockProof, because: readonly string[] = []): ProofVerdict {
  const alarm =
    because.length === 0
      ? null
      : `From now on blocks with ${listNames(because)} are believed with less proof: ${proof.unproved.join("; ")}`;
  return { kind: "accept", level: proof.level, alarm };
}

function refuse(proof: BlockProof, more: string): ProofVerdict {
  return { kind: "refuse", reason: `${proof.unproved.join("; ")}${more}` };
}

function listNames(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
