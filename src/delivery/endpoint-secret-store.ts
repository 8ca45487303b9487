/** New secrets for endpoints, and all sealed ones under a new key of ours. */
import { FatalError, InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import type { Random } from "../runtime/random.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { createEndpointSecret, formatEndpointSecret } from "./endpoint-secret.ts";
import type { SignatureScheme } from "./signature.ts";

/**
 * Gives an endpoint a new key. The one before it signs too until the overlap is over; of a rotation within the
 * overlap of another, the oldest key ends at once.
 *
 * @param wanted.overlapMs 0: callbacks are signed with the new key alone from now on
 * @param wanted.scheme the same as before if none is named
 * @returns the secret, which is shown here and never again; `null` for `v1a`
 * @throws {InputError} `not_found`, also for another merchant's
 */
export async function rotateSecret(
  parts: { readonly sql: Sql; readonly secretBox: SecretBox; readonly random: Random },
  wanted: {
    readonly merchantId: string;
    readonly id: string;
    readonly overlapMs: number;
    readonly scheme?: SignatureScheme | undefined;
  },
): Promise<string | null> {
  const { sql, secretBox, random } = parts;
  const { merchantId, id, overlapMs } = wanted;
  const [row] = await sql.query<{ signature: SignatureScheme }>(
    "SELECT signature FROM endpoints WHERE id = $1 AND merchant_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE",
    [id, merchantId],
  );
  if (row === undefined) throw new InputError("not_found", "There is no such endpoint", { id });
  const secret = createEndpointSecret(random, wanted.scheme ?? row.signature);
  const rotated = await sql.query<{ id: string }>(
    `UPDATE endpoints SET secret = $2, signature = $3, public_key = $4,
       previous_secret = CASE WHEN $5 > 0 THEN secret END,
       previous_signature = CASE WHEN $5 > 0 THEN signature END,
       previous_until = CASE WHEN $5 > 0 THEN now() + $5 * interval '1 millisecond' END
     WHERE id = $1 AND deleted_at IS NULL RETURNING id`,
    [id, secretBox.seal(secret.bytes), secret.scheme, secret.publicKey, overlapMs],
  );
  if (rotated.length === 0)
    throw new FatalError("internal", "An endpoint vanished while its secret was rotated");
  return formatEndpointSecret(secret);
}

interface SealedRow {
  id: string;
  secret: Buffer;
  previous_secret: Buffer | null;
  headers: Buffer | null;
}

/**
 * Seals again what is sealed under an old key, so that the old one may be forgotten; deleted endpoints' too. May be
 * run beside daemons that know both keys, again and again.
 *
 * @returns how many endpoints there were
 * @throws {FatalError} `secret_key_wrong` when one is sealed under a key that is not known
 */
export async function resealSecrets(
  sql: Sql,
  secretBox: SecretBox,
  onProgress: (done: number, total: number) => void,
): Promise<number> {
  const rows = await sql.query<SealedRow>(
    "SELECT id, secret, previous_secret, headers FROM endpoints ORDER BY id",
  );
  const old = rows.filter((row) =>
    [row.secret, row.previous_secret, row.headers].some(
      (sealed) => sealed !== null && !secretBox.isCurrent(sealed),
    ),
  );
  for (const [index, row] of old.entries()) {
    await resealOne(sql, secretBox, row);
    onProgress(index + 1, old.length);
  }
  return old.length;
}

/** What was changed since it was read is left alone: it was sealed under the current key then. */
async function resealOne(sql: Sql, secretBox: SecretBox, row: SealedRow): Promise<void> {
  const again = (sealed: Buffer | null) => (sealed === null ? null : secretBox.seal(secretBox.open(sealed)));
  await sql.query(
    `UPDATE endpoints SET
       secret = CASE WHEN secret = $2 THEN $3 ELSE secret END,
       previous_secret = CASE WHEN previous_secret = $4 THEN $5 ELSE previous_secret END,
       headers = CASE WHEN headers = $6 THEN $7 ELSE headers END
     WHERE id = $1`,
    [
      row.id,
      row.secret,
      again(row.secret),
      row.previous_secret,
      again(row.previous_secret),
      row.headers,
      again(row.headers),
    ],
  );
}

export interface SealedCounts {
  /** Endpoints that are not deleted. */
  readonly total: number;
  /** Of those: with something that is sealed under an old key that is still at hand. */
  readonly old: number;
  /** Of those: with something that cannot be opened, so that nothing can be sent to them. */
  readonly lost: number;
  /** What those are sealed under that none of the keys at hand is: ids of keys, as the box writes them. */
  readonly lostKeyIds: readonly string[];
}

/** How endpoints' secrets are sealed, seen from these keys. */
export async function countSealed(sql: Sql, secretBox: SecretBox): Promise<SealedCounts> {
  const rows = await sql.query<SealedRow>(
    `SELECT id, secret, CASE WHEN previous_until > now() THEN previous_secret END AS previous_secret, headers
     FROM endpoints WHERE deleted_at IS NULL`,
  );
  const sealed = rows.map(({ secret, previous_secret, headers }) =>
    [secret, previous_secret, headers].filter((each) => each !== null),
  );
  const errors = sealed.map((each) => each.map((one) => openError(secretBox, one)).filter(isError));
  const keyIds = errors.flat().map(({ facts }) => facts["sealedUnderKeyId"]);
  return {
    total: rows.length,
    old: sealed.filter((each, index) => errors[index]?.length === 0 && !each.every(secretBox.isCurrent))
      .length,
    lost: errors.filter((each) => each.length > 0).length,
    lostKeyIds: [...new Set(keyIds.filter((id) => typeof id === "string"))],
  };
}

/** Why it cannot be opened; `null`: it can. */
function openError(secretBox: SecretBox, sealed: Buffer): FatalError | null {
  try {
    secretBox.open(sealed);
    return null;
  } catch (rawError) {
    if (rawError instanceof FatalError) return rawError;
    throw rawError;
  }
}

function isError(error: FatalError | null): error is FatalError {
  return error !== null;
}
