/** Something that the layers do not allow. */
export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly rule: Rule;
  /** What is there, why it is not allowed, and what to do instead. */
  readonly message: string;
}

export const RULES = [
  "layer",
  "stage",
  "package",
  "sql",
  "environment",
  "time",
  "randomness",
  "barrel",
  "folder",
  "cycle",
] as const;

export type Rule = (typeof RULES)[number];
