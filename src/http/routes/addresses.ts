/** Watched addresses. */
import { z } from "zod";
import { InputError } from "../../core/errors.ts";
import { checksumAddress } from "../../core/hex.ts";
import { findAddress, registerAddress, type WatchedAddress } from "../../merchants/address-store.ts";
import { addressShape } from "../answers.ts";
import { address, userId } from "../inputs.ts";
import { type Route, route } from "../route.ts";

const assignAddress = route({
  method: "POST",
  path: "/v1/addresses",
  summary:
    "Assign an address to a user. From the answer on, every block that is ingested is matched against it.",
  body: z.strictObject({ userId, address: address.optional() }),
  answers: {
    201: { description: "The address is assigned.", shape: addressShape },
    200: { description: "It was assigned to this user before.", shape: addressShape },
  },
  handle: async ({ caller, body, database }) => {
    if (body.address === undefined) {
      throw new InputError(
        "address_required",
        "address is missing: no extended public key is configured to take the next one from",
      );
    }
    const { merchantId } = caller;
    const assigned = await registerAddress(database, {
      address: body.address,
      merchantId,
      userId: body.userId,
    });
    return { status: assigned.isNew ? 201 : 200, body: addressBody(assigned) };
  },
});

const showAddress = route({
  method: "GET",
  path: "/v1/addresses/{address}",
  summary: "Whose an address is, and since when.",
  params: z.strictObject({ address }),
  answers: { 200: { description: "The address.", shape: addressShape } },
  handle: async ({ caller, params, database }) => {
    const found = await findAddress(database, caller.merchantId, params.address);
    if (found === undefined)
      throw new InputError("not_found", "This address is not assigned to one of your users");
    return { status: 200, body: addressBody(found) };
  },
});

export const addressRoutes: readonly Route[] = [assignAddress, showAddress];

function addressBody(watched: WatchedAddress): z.infer<typeof addressShape> {
  return {
    address: checksumAddress(watched.address),
    userId: watched.userId,
    createdAt: watched.createdAt.toISOString(),
  };
}
