/** Whether what is sealed in the database can be opened with the keys at hand: nothing is sent to an endpoint otherwise. */
import { coerceError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import { countSealed, type SealedCounts } from "../delivery/endpoint-secret-store.ts";
import { SECRETS_ADVICE } from "../flow/watch-secrets.ts";
import { findSecretKey, readOldSecretKeys } from "../runtime/config/secret-key.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { type DoctorParts, type Finding, fail, ok, warn } from "./doctor-checks.ts";

/** Nothing where there are no endpoints, or no key yet. */
export async function checkSealedSecrets(
  sql: Sql,
  { config, env }: Pick<DoctorParts, "config" | "env">,
): Promise<Finding[]> {
  const part = "secrets";
  try {
    const key = await findSecretKey(config, env);
    if (key === undefined) return [];
    const counts = await countSealed(sql, createSecretBox(key, systemRandom, readOldSecretKeys(env)));
    return counts.total === 0 ? [] : [findingOf(part, counts)];
  } catch (rawError) {
    return [
      fail(
        part,
        coerceError(rawError).message,
        "Each key is 32 bytes in hex; several old ones have commas between.",
      ),
    ];
  }
}

function findingOf(part: string, { total, old, lost }: SealedCounts): Finding {
  if (lost > 0) {
    const found = `Those of ${lost} of ${total} endpoints are sealed under another key: nothing can be sent to them`;
    return fail(part, found, `${SECRETS_ADVICE} Their callbacks wait.`);
  }
  if (old === 0) return ok(part, `Those of ${total} endpoints are sealed under this key`);
  const found = `Those of ${old} of ${total} endpoints are sealed under an old key`;
  return warn(part, found, "Run: depositd secrets reseal");
}
