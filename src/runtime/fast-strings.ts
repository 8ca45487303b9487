/**
 * Keeps strings fast in a process where a library has a class that extends `String`, as the Redis client does.
 *
 * Where the first such class is defined, V8 turns `String.prototype` into a dictionary, and from then on looks every
 * `.length`, `.charCodeAt` and `.startsWith` of every string up in it: 580 ns instead of 110 to read 66 characters (Node
 * 20, 22 and 24), which was a fifth of the processor time of catching up. A property assigned to an object that inherits
 * from it tells V8 that it is a prototype in use, which is kept fast whatever extends it afterwards.
 *
 * @see https://github.com/inikulin/parse5/issues/1348 the same, found in a parser
 */
export function keepStringsFast(): void {
  const inheriting: { isInUse?: true } = Object.create(String.prototype);
  // An assignment, and no `Object.assign` or `defineProperty`: V8 takes note in what it keeps for assignments only.
  inheriting.isInUse = true;
}
