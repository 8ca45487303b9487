/** A merchant's users: what is theirs. */
import { z } from "zod";
import { listUserBalances } from "../../ledger/ledger-store.ts";
import { balancesShape } from "../answers.ts";
import { balancesBody } from "../balances-body.ts";
import { userId } from "../inputs.ts";
import { type Route, route } from "../route.ts";

const showBalances = route({
  method: "GET",
  path: "/v1/users/{userId}/balances",
  summary:
    "A user's balances, per asset and per currency. Empty for a user who never had a deposit credited.",
  params: z.strictObject({ userId }),
  answers: { 200: { description: "The balances.", shape: balancesShape } },
  handle: async ({ caller, params, database }) => {
    const balances = await listUserBalances(database, caller.merchantId, params.userId);
    return { status: 200, body: balancesBody(params.userId, balances) };
  },
});

export const userRoutes: readonly Route[] = [showBalances];
