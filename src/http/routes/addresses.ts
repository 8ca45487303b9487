/** Watched addresses. */
import { z } from "zod";
import { InputError } from "../../core/errors.ts";
import { checksumAddress } from "../../core/hex.ts";
import { seenPaymentBody } from "../../core/seen-payment-body.ts";
import { listSeenPayments } from "../../deposits/seen-payment-list-store.ts";
import { registerAddressFrom } from "../../flow/register-address.ts";
import { findAddress, type WatchedAddress } from "../../merchants/address-store.ts";
import { type AddressRescan, listRescans } from "../../scanner/address-rescan-store.ts";
import { addressDetailShape, addressShape } from "../answers.ts";
import { address, userId, watchFrom } from "../inputs.ts";
import type { HttpParts } from "../parts.ts";
import { type Route, route } from "../route.ts";

/** @param chainIds those that are followed */
export function addressRoutes({ chainIds }: Pick<HttpParts, "chainIds">): readonly Route[] {
  return [assignAddress(chainIds), showAddress];
}

const assignAddress = (chainIds: readonly number[]) =>
  route({
    method: "POST",
    path: "/v1/addresses",
    summary:
      "Assign an address to a user: the one that is named, or without one the user's own of the merchant's extended public key, the next one if there is none yet. From the answer on, every block that is ingested is matched against it; with watchFrom, earlier ones are looked at again for it.",
    body: z.strictObject({ userId, address: address.optional(), watchFrom: watchFrom.optional() }),
    answers: {
      201: { description: "The address is assigned.", shape: addressShape },
      200: { description: "It was assigned to this user before.", shape: addressShape },
    },
    handle: async ({ caller, body, database }) => {
      const { merchantId } = caller;
      const wanted = { address: body.address, merchantId, userId: body.userId, watchFrom: body.watchFrom };
      const assigned = await registerAddressFrom(database, wanted, chainIds);
      return { status: assigned.isNew ? 201 : 200, body: addressBody(assigned, assigned.rescans) };
    },
  });

const showAddress = route({
  method: "GET",
  path: "/v1/addresses/{address}",
  summary:
    "Whose an address is, since when, how far its past was looked at, and what waits in the mempool to be paid to it.",
  params: z.strictObject({ address }),
  answers: { 200: { description: "The address.", shape: addressDetailShape } },
  handle: async ({ caller, params, database }) => {
    const found = await findAddress(database, caller.merchantId, params.address);
    if (found === undefined)
      throw new InputError("not_found", "This address is not assigned to one of your users");
    const waiting = await listSeenPayments(database, {
      merchantId: caller.merchantId,
      address: params.address,
      status: "seen",
      limit: SEEN_PAYMENTS_SHOWN,
    });
    const body = addressBody(found, await listRescans(database, found.address));
    return { status: 200, body: { ...body, seenPayments: waiting.map(seenPaymentBody) } };
  },
});

/** `GET /v1/seen-payments?address=` has them all. */
const SEEN_PAYMENTS_SHOWN = 20;

function addressBody(
  watched: WatchedAddress,
  rescans: readonly AddressRescan[],
): z.infer<typeof addressShape> {
  return {
    address: checksumAddress(watched.address),
    userId: watched.userId,
    orderNo: watched.orderNo,
    derivation: watched.derivation,
    createdAt: watched.createdAt.toISOString(),
    rescans: rescans.map(rescanBody),
  };
}

function rescanBody({ chainId, state, fromTime, from, next, to }: AddressRescan) {
  const count = (first: bigint | null, end: bigint | null) =>
    first === null || end === null ? null : Math.max(0, Number(end - first));
  return {
    chainId,
    state,
    fromTime: fromTime?.toISOString() ?? null,
    fromBlock: from === null ? null : Number(from),
    toBlock: to === null ? null : Number(to),
    scannedBlocks: count(from, next) ?? 0,
    totalBlocks: count(from, to === null ? null : to + 1n),
  };
}
