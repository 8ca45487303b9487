/**
 * Who does what operators do.
 *
 * Two pairs of eyes are two persons, so what counts is the operator's name that was given to the key when it was
 * made, never the key: one operator may have several. At a shell anyone who can reach the database can take any
 * name, so a shell user is written down and never counts.
 */
export interface Actor {
  /** As the audit log writes it: `operator:ann`, `key:key_…`, `cli:root`, `daemon:host`. */
  readonly id: string;
  /** The API key it came with. */
  readonly keyId: string | null;
  /** Whether it is known which person this is. */
  readonly isNamed: boolean;
}

/** What an operator may be called: small letters, so that two names are never one at a glance. */
export const OPERATOR_NAME = /^[a-z0-9][a-z0-9._@-]{0,63}$/;
export const OPERATOR_NAME_RULE =
  "must be 1 to 64 of a-z, 0-9, '.', '_', '@' and '-', beginning with a letter or a digit";

/** Whoever has an operator's key; `null`: the key was made without a name. */
export function operatorActor(keyId: string, operatorName: string | null): Actor {
  const isNamed = operatorName !== null;
  return { id: isNamed ? `operator:${operatorName}` : `key:${keyId}`, keyId, isNamed };
}

/** Whoever runs a command beside the database. */
export function shellActor(user: string): Actor {
  return { id: `cli:${oneLine(user)}`, keyId: null, isNamed: false };
}

/** The daemon itself, for what it does because its config was changed. */
export function daemonActor(host: string): Actor {
  return { id: `daemon:${oneLine(host)}`, keyId: null, isNamed: false };
}

function oneLine(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]/g, "_").slice(0, 100);
}
