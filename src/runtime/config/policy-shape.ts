/**
 * The confirmation policy as it is written, in four forms:
 *
 *   12 | safe | finalized | { depth: 12, and: safe }      credit and unlock at this
 *   { credit: …, unlock: … }                              two thresholds; without unlock it is the same as credit
 *   [ { upTo: "1000", credit: …, unlock: … }, …, { … } ]  by amount, in rising order, the last without upTo
 */
import { z } from "zod";
import type { Threshold } from "../../core/asset.ts";
import { FINALITY_TAGS, type FinalityTag } from "../../core/chain.ts";
import { amountText, integer, oneOf } from "./leaves.ts";

/** A band whose limit is still text: its digits after the point depend on the asset. */
export interface BandShape {
  readonly upTo: string | null;
  readonly credit: Threshold;
  readonly unlock: Threshold;
}

const MAX_DEPTH = 1_000_000;
const depth = integer(1, MAX_DEPTH);
const EXPECTED = `expected a depth from 1 to ${MAX_DEPTH}, "safe", "finalized" or { depth, and }`;

const depthAndTag = z
  .strictObject({ depth, and: oneOf(FINALITY_TAGS) })
  .transform((both): Threshold => ({ depth: both.depth, tag: both.and }));

const threshold = z.unknown().transform((value, context): Threshold => {
  if (isTag(value)) return { depth: null, tag: value };
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return forward(depthAndTag, value, context);
  const number = depth.safeParse(value);
  if (number.success) return { depth: number.data, tag: null };
  context.issues.push({ code: "custom", message: EXPECTED, input: value });
  return z.NEVER;
});

const thresholds = { credit: threshold, unlock: threshold.optional() };
const pairShape = z.strictObject(thresholds).transform(toBand);
const bandShape = z
  .strictObject(
    { upTo: amountText.optional(), ...thresholds },
    { error: "expected { upTo, credit, unlock }" },
  )
  .transform(toBand);
const bandsShape = z.array(bandShape).transform(checkLimits);

/** The policy of one asset. */
export const assetPolicy = z.unknown().transform((value, context): readonly BandShape[] => {
  if (Array.isArray(value)) return forward(bandsShape, value, context);
  return readSingleBand(value, context);
});

/** The policy of a chain. It holds for assets of any worth, so it cannot go by amount. */
export const chainPolicy = z.unknown().transform((value, context): readonly BandShape[] => {
  if (!Array.isArray(value)) return readSingleBand(value, context);
  context.issues.push({
    code: "custom",
    message: "bands by amount belong to one asset: write them under native or the token",
    input: value,
  });
  return z.NEVER;
});

function readSingleBand(value: unknown, context: z.core.ParsePayload): readonly BandShape[] {
  const isPair = typeof value === "object" && value !== null && !("depth" in value || "and" in value);
  if (isPair) return [forward(pairShape, value, context)];
  const both = forward(threshold, value, context);
  return [{ upTo: null, credit: both, unlock: both }];
}

/** Reads with another schema; its issues become the caller's, at their places within. */
function forward<Output>(schema: z.ZodType<Output>, value: unknown, context: z.core.ParsePayload): Output {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  context.issues.push(
    ...result.error.issues.map((issue) => ({ ...issue, input: value }) as z.core.$ZodRawIssue),
  );
  return z.NEVER;
}

interface WrittenBand {
  readonly upTo?: string | undefined;
  readonly credit: Threshold;
  readonly unlock?: Threshold | undefined;
}

function toBand(written: WrittenBand, context: z.core.ParsePayload): BandShape {
  const { upTo = null, credit, unlock = credit } = written;
  if (isWeaker(unlock, credit)) {
    const message = "unlock must not come before credit";
    context.issues.push({ code: "custom", path: ["unlock"], message, input: written });
  }
  return { upTo, credit, unlock };
}

/** As far as two thresholds can be compared: a depth with a depth, a tag with a tag. */
function isWeaker(unlock: Threshold, credit: Threshold): boolean {
  if (credit.tag === "finalized" && unlock.tag === "safe") return true;
  const isSameTag = unlock.tag === null || unlock.tag === credit.tag;
  return isSameTag && unlock.depth !== null && credit.depth !== null && unlock.depth < credit.depth;
}

function checkLimits(bands: readonly BandShape[], context: z.core.ParsePayload): readonly BandShape[] {
  if (bands.length === 0)
    context.issues.push({ code: "custom", message: "expected one band or more", input: bands });
  for (const [index, { upTo }] of bands.entries()) {
    const isLast = index === bands.length - 1;
    if (isLast === (upTo === null)) continue;
    const message = isLast
      ? "the last band must have no upTo, so that it holds for every larger amount"
      : "only the last band may be without upTo";
    context.issues.push({ code: "custom", path: [index, "upTo"], message, input: bands });
  }
  return bands;
}

function isTag(value: unknown): value is FinalityTag {
  return FINALITY_TAGS.some((tag) => tag === value);
}
