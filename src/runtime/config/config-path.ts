/** Places in a config file, and what is wrong there. */

export type PathKeys = readonly PropertyKey[];

export interface ConfigFault {
  /** Such as `chains[0].tokens[1].decimals`. */
  readonly path: string;
  readonly message: string;
}

/** `["chains", 0, "id"]` as `chains[0].id`; the file as a whole is `(file)`. */
export function pathText(keys: PathKeys): string {
  if (keys.length === 0) return "(file)";
  return keys
    .map((key, index) => (typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${String(key)}`))
    .join("");
}

export function valueAt(value: unknown, path: PathKeys): unknown {
  return path.reduce<unknown>(
    (parent, key) =>
      typeof parent === "object" && parent !== null
        ? (parent as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
}
