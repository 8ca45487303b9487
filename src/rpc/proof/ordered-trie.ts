/**
 * The root of a Merkle Patricia trie whose keys are rlp(0), rlp(1), … rlp(n - 1), as the roots of transactions,
 * receipts and withdrawals are (Yellow Paper, 4.3.2 and appendix D).
 *
 * All keys are known beforehand, so the trie is never built: its nodes are written, hashed and forgotten from
 * the leaves up, in one buffer that holds no more than one item and the branches above it.
 */
import { bytesToHex, type Hash } from "../../core/hex.ts";
import { digitAt } from "./decode-hex.ts";
import {
  closeList,
  closeString,
  hashSince,
  type RlpWriter,
  writeByte,
  writeBytes,
  writeEmpty,
} from "./rlp.ts";

/** Writes the item's encoding, and nothing around it. Called once for each index, in no particular order. */
export type WriteItem = (writer: RlpWriter, index: number) => void;

interface Trie {
  readonly writer: RlpWriter;
  readonly writeItem: WriteItem;
  /** In the order of their bytes. */
  readonly keys: readonly Key[];
}

interface Key {
  /** The digits of rlp(index). */
  readonly path: string;
  readonly index: number;
}

export function orderedTrieRoot(writer: RlpWriter, count: number, writeItem: WriteItem): Hash {
  const since = writer.size;
  if (count === 0) writeEmpty(writer);
  else writeNode({ writer, writeItem, keys: sortedKeys(count) }, 0, count, 0);
  const root = bytesToHex(hashSince(writer, since));
  writer.size = since;
  return root;
}

/** The node over the keys from `from` to `to`, which are the same in their first `depth` digits. */
function writeNode(trie: Trie, from: number, to: number, depth: number): void {
  const { writer } = trie;
  const since = writer.size;
  const key = keyAt(trie, from);
  if (to - from === 1) {
    trie.writeItem(writer, key.index);
    closeString(writer, since);
    writePath(writer, key.path, depth, key.path.length, true);
    closeList(writer, since);
    return;
  }
  // Keys are in order: what the first and the last have in common, all have.
  const common = commonLength(key.path, keyAt(trie, to - 1).path, depth);
  if (common === 0) {
    writeBranch(trie, from, to, depth);
    return;
  }
  writeReference(trie, from, to, depth + common);
  writePath(writer, key.path, depth, depth + common, false);
  closeList(writer, since);
}

const DIGITS = "0123456789abcdef";

function writeBranch(trie: Trie, from: number, to: number, depth: number): void {
  const { writer } = trie;
  const since = writer.size;
  writeEmpty(writer); // the branch's own value: no key ends where another goes on
  let end = to;
  for (let digit = 15; digit >= 0; digit--) {
    let start = end;
    while (start > from && keyAt(trie, start - 1).path[depth] === DIGITS[digit]) start--;
    if (start === end) writeEmpty(writer);
    else writeReference(trie, start, end, depth + 1);
    end = start;
  }
  closeList(writer, since);
}

const HASH_BYTES = 32;

/** What stands for a node in the one above it: its hash, or the node itself where that is shorter. */
function writeReference(trie: Trie, from: number, to: number, depth: number): void {
  const { writer } = trie;
  const since = writer.size;
  writeNode(trie, from, to, depth);
  if (writer.size - since < HASH_BYTES) return;
  const hash = hashSince(writer, since);
  writer.size = since;
  writeBytes(writer, hash);
}

/**
 * The digits of the path from `from` to `to`, in hex-prefix encoding (appendix C): the first digit says whether a leaf
 * follows and whether they are odd, in which case the second is the first of them.
 */
function writePath(writer: RlpWriter, path: string, from: number, to: number, isLeaf: boolean): void {
  const since = writer.size;
  const isOdd = (to - from) % 2 === 1;
  const pairsFrom = isOdd ? from + 1 : from;
  for (let at = to - 2; at >= pairsFrom; at -= 2)
    writeByte(writer, digitAt(path, at) * 16 + digitAt(path, at + 1));
  const kind = isLeaf ? 2 : 0;
  writeByte(writer, isOdd ? (kind + 1) * 16 + digitAt(path, from) : kind * 16);
  closeString(writer, since);
}

function commonLength(first: string, last: string, depth: number): number {
  let position = depth;
  while (position < first.length && first[position] === last[position]) position++;
  return position - depth;
}

function keyAt(trie: Trie, position: number): Key {
  const key = trie.keys[position];
  if (key === undefined) throw new RangeError(`The trie has no key ${position}`);
  return key;
}

/** As many as there were in any trie so far, by their index: some hundreds, or a few thousand. */
const madeKeys: Key[] = [];

/** In the order of their digits: 1 to 127, then 0, then the rest. */
function sortedKeys(count: number): Key[] {
  while (madeKeys.length < count) madeKeys.push(makeKey(madeKeys.length));
  return [
    ...madeKeys.slice(1, Math.min(count, 0x80)),
    ...madeKeys.slice(0, 1),
    ...madeKeys.slice(0x80, count),
  ];
}

function makeKey(index: number): Key {
  if (index === 0) return { path: "80", index };
  const digits = index.toString(16);
  const bytes = digits.length % 2 === 0 ? digits : `0${digits}`;
  // A byte below 0x80 stands for itself.
  return { path: index < 0x80 ? bytes : `${(0x80 + bytes.length / 2).toString(16)}${bytes}`, index };
}
