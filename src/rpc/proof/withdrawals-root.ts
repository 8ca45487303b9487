/** The root of a block's withdrawals (EIP-4895): value that arrives with no transaction. */
import { isFields } from "../answer.ts";
import { orderedTrieRoot } from "./ordered-trie.ts";
import { attempt, compareHashes, PROVED, type Proof, Unprovable, unproved } from "./proof.ts";
import { closeList, type RlpWriter, writeFixedData, writeQuantity } from "./rlp.ts";

const ADDRESS_BYTES = 20;

/**
 * A chain without withdrawals has neither root nor list, which is proved by a proved header.
 *
 * @param withdrawals as the block tells them: a list, `null` or nothing
 * @param root the header's `withdrawalsRoot`
 */
export function proveWithdrawalsRoot(writer: RlpWriter, withdrawals: unknown, root: unknown): Proof {
  const list = withdrawals ?? [];
  if (!Array.isArray(list)) return unproved("unreadable", "withdrawals is not a list");
  if (root === undefined || root === null) {
    return list.length === 0
      ? PROVED
      : unproved("differs", "There are withdrawals without a withdrawalsRoot");
  }
  return attempt(writer, () => {
    const computed = orderedTrieRoot(writer, list.length, (_, index) => {
      writeWithdrawal(writer, list[index]);
    });
    return compareHashes("The withdrawals' root", computed, root);
  });
}

function writeWithdrawal(writer: RlpWriter, withdrawal: unknown): void {
  if (!isFields(withdrawal)) throw new Unprovable("unreadable", "A withdrawal is not an object");
  const since = writer.size;
  writeQuantity(writer, withdrawal["amount"], "A withdrawal's amount");
  writeFixedData(writer, withdrawal["address"], ADDRESS_BYTES, "A withdrawal's address");
  writeQuantity(writer, withdrawal["validatorIndex"], "A withdrawal's validatorIndex");
  writeQuantity(writer, withdrawal["index"], "A withdrawal's index");
  closeList(writer, since);
}
