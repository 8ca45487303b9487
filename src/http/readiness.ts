/** The answer of `/readyz`: every part, with what holds it back. */
import type { Verification } from "../core/verification.ts";

export interface Readiness {
  /** The process can do its work: 200, else 503. */
  readonly ready: boolean;
  readonly database: PartReadiness;
  readonly queue: PartReadiness;
  readonly chains: readonly ChainReadiness[];
  /** What all callbacks of this process need: the egress proxy, the key of endpoints' secrets. Ready without the role. */
  readonly callbacks: PartReadiness;
  readonly workers: readonly WorkerReadiness[];
  /** What a person should know though the process is ready, one sentence each. */
  readonly notes: readonly string[];
}

export interface PartReadiness {
  readonly ready: boolean;
  /** What is wrong, in one sentence without secrets; `null` when nothing is. */
  readonly problem: string | null;
}

export interface ChainReadiness extends PartReadiness {
  readonly chainId: number;
  readonly name: string;
  /** `starting`: it has no cursor yet. */
  readonly state: "starting" | "following" | "halted";
  readonly headNumber: number | null;
  readonly cursorNumber: number | null;
  readonly lagBlocks: number | null;
  readonly safeNumber: number | null;
  readonly finalizedNumber: number | null;
  /** Since when they stand where they are, RFC 3339. */
  readonly safeAt: string | null;
  readonly finalizedAt: string | null;
  /** When the cursor moved last, RFC 3339. */
  readonly cursorAt: string | null;
  /** Who follows it now; another process perhaps. */
  readonly leaseHolder: string | null;
  /** How much of its blocks is proved; see docs/verification.md. */
  readonly verification: VerificationReadiness;
  /** How many nodes must hold what is credited, and up to which block they do. */
  readonly witnesses: { readonly wanted: number; readonly number: number | null };
  /** What a person should know though the chain is ready, one sentence each. */
  readonly notes: readonly string[];
  readonly nodes: readonly NodeReadiness[];
}

export interface VerificationReadiness {
  /** Of the newest block; `null` before the first. */
  readonly level: Verification | null;
  /** What a block of this chain reaches; `null` before that is known. */
  readonly expected: Verification | null;
  /** Why less is proved than the chain reaches; `null` while all of it is. */
  readonly alarm: string | null;
}

export interface NodeReadiness extends PartReadiness {
  /** Host and port, never the URL. */
  readonly node: string;
  readonly state: string;
  /** Its branch is the one that is followed. */
  readonly leading: boolean;
  readonly headNumber: number | null;
  readonly latencyMs: number | null;
  /** How many requests at once it is asked now. */
  readonly requestLimit: number;
  /** By error code, since the start. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface WorkerReadiness extends PartReadiness {
  readonly name: string;
}
