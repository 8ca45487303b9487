/**
 * The root of a block's transactions. With a proved header it proves each transaction's hash, recipient, value
 * and place, and that none is missing. It does not hold the sender, which only the signature says
 * (`prove-sender.ts`), except for the types that nobody signs.
 */
import { bytesToHex } from "../../core/hex.ts";
import { type Fields, isFields } from "../answer.ts";
import { isKnownType, writeTransaction } from "./encode-transaction.ts";
import { readType, typeName } from "./envelope-type.ts";
import { orderedTrieRoot } from "./ordered-trie.ts";
import { attempt, compareHashes, isSame, type Proof, quote, Unprovable, unproved } from "./proof.ts";
import { hashSince, type RlpWriter, writeEmpty } from "./rlp.ts";

/**
 * Proves the root, and that each transaction's `hash` is its own.
 *
 * A type that cannot be encoded here leaves the root unproved (`unknown`); the other transactions are checked
 * against their hashes all the same.
 *
 * @param transactions in full, in the block's order
 * @param named whose hash is to be proved, by their places; everybody's if it is not given
 */
export function proveTransactionsRoot(
  writer: RlpWriter,
  transactions: readonly unknown[],
  root: unknown,
  named?: ReadonlySet<number>,
): Proof {
  const strangeTypes = new Set<number>();
  return attempt(writer, () => {
    const computed = orderedTrieRoot(writer, transactions.length, (_, index) => {
      const transaction = readTransaction(transactions[index], index);
      const type = readType(transaction);
      if (!isKnownType(type)) {
        strangeTypes.add(type);
        writeEmpty(writer);
        return;
      }
      const since = writer.size;
      writeTransaction(writer, transaction);
      if (named === undefined || named.has(index)) expectOwnHash(writer, since, transaction, index);
    });
    if (strangeTypes.size === 0) return compareHashes("The transactions' root", computed, root);
    const names = [...strangeTypes].map(typeName).join(", ");
    return unproved("unknown", `The encoding of transactions of type ${names} is not known here`);
  });
}

/** @param since its encoding was written since */
function expectOwnHash(writer: RlpWriter, since: number, transaction: Fields, index: number): void {
  const hash = bytesToHex(hashSince(writer, since));
  if (isSame(hash, transaction["hash"])) return;
  const told = quote(transaction["hash"]);
  throw new Unprovable(
    "differs",
    `Transaction ${index} has the hash ${told}, but what was told makes ${hash}`,
  );
}

function readTransaction(transaction: unknown, index: number): Fields {
  if (isFields(transaction)) return transaction;
  throw new Unprovable("unreadable", `Transaction ${index} is not told in full`);
}
