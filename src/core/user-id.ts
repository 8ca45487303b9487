/** A merchant's own name for a user. */

/**
 * 1 to 200 characters; no control characters (PostgreSQL refuses NUL, people cannot see the rest) and no half
 * surrogates (two different ones would become the same replacement character).
 */
export const USER_ID = /^[^\p{Cc}\p{Cs}]{1,200}$/u;
export const USER_ID_RULE = "must be 1 to 200 characters without control characters";
