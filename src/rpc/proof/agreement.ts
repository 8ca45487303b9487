/**
 * What transactions and receipts say of each other and no root holds: that they are as many, that a receipt is
 * of its transaction's type, and which contract a creation made.
 */
import { bytesToHex } from "../../core/hex.ts";
import { type Fields, isFields } from "../answer.ts";
import { OP_DEPOSIT, readType, typeName } from "./envelope-type.ts";
import { attempt, isSame, PROVED, type Proof, quote, Unprovable, unproved } from "./proof.ts";
import { proveSender } from "./prove-sender.ts";
import { closeList, hashSince, type RlpWriter, writeFixedData, writeQuantity } from "./rlp.ts";

const ADDRESS_BYTES = 20;

/**
 * The type matters because it decides whether a transaction can be encoded: with it in the proved receipts, a
 * node cannot pass a transaction off as one of an unknown type.
 *
 * A creation's contract is the hash of its sender and nonce. The nonce is proved with the transaction; where value
 * goes along, which belongs to the contract, the sender is proved by its signature. There are few of those.
 */
export function proveAgreement(
  writer: RlpWriter,
  transactions: readonly unknown[],
  receipts: readonly unknown[],
): Proof {
  if (transactions.length !== receipts.length) {
    return unproved("differs", `${transactions.length} transactions have ${receipts.length} receipts`);
  }
  return attempt(writer, () => {
    for (const [index, transaction] of transactions.entries()) {
      const receipt = receipts[index];
      if (!isFields(transaction) || !isFields(receipt)) {
        throw new Unprovable("unreadable", `Transaction ${index} or its receipt is not told in full`);
      }
      const type = readType(transaction);
      if (type !== readType(receipt)) {
        const types = `${typeName(type)}, its receipt of type ${typeName(readType(receipt))}`;
        throw new Unprovable("differs", `Transaction ${index} is of type ${types}`);
      }
      if (isMissing(transaction["to"])) expectContract(writer, transaction, receipt, index);
    }
    return PROVED;
  });
}

function expectContract(writer: RlpWriter, transaction: Fields, receipt: Fields, index: number): void {
  const told = receipt["contractAddress"];
  // Nothing was made, and some nodes name what would have been.
  if (isMissing(told) && receipt["status"] !== "0x1") return;
  const since = writer.size;
  // The nonce of an OP stack's deposit is not its own: the chain gives it one, and tells it in the receipt.
  const nonce = readType(transaction) === OP_DEPOSIT ? receipt["depositNonce"] : transaction["nonce"];
  writeQuantity(writer, nonce, "nonce");
  writeFixedData(writer, transaction["from"], ADDRESS_BYTES, "from");
  closeList(writer, since);
  const made = bytesToHex(hashSince(writer, since).subarray(-ADDRESS_BYTES));
  writer.size = since;
  if (isSame(made, told)) {
    expectSender(writer, transaction);
    return;
  }
  const names = `${quote(told)}, but its sender and nonce make ${made}`;
  throw new Unprovable("differs", `Receipt ${index} names the contract ${names}`);
}

function expectSender(writer: RlpWriter, transaction: Fields): void {
  if (transaction["value"] === "0x0") return;
  const proof = proveSender(writer, transaction);
  if (!proof.isProved) throw new Unprovable(proof.doubt, proof.reason);
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}
