/** The answer of `/readyz`: every part, with what holds it back. */

export interface Readiness {
  /** The process can do its work: 200, else 503. */
  readonly ready: boolean;
  readonly database: PartReadiness;
  readonly queue: PartReadiness;
  readonly chains: readonly ChainReadiness[];
  readonly workers: readonly WorkerReadiness[];
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
  /** When the cursor moved last, RFC 3339. */
  readonly cursorAt: string | null;
  /** Who follows it now; another process perhaps. */
  readonly leaseHolder: string | null;
  readonly nodes: readonly NodeReadiness[];
}

export interface NodeReadiness extends PartReadiness {
  /** Host and port, never the URL. */
  readonly node: string;
}

export interface WorkerReadiness extends PartReadiness {
  readonly name: string;
}
