/** Arithmetic of block numbers, which `Math` does not do for `bigint`. */

export function lowerOf(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}

export function higherOf(one: bigint, other: bigint): bigint {
  return one < other ? other : one;
}
