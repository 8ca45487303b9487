/**
 * The claimed deliveries of this process: which of them is attempted next, and how many more may be claimed.
 *
 * Endpoints take turns, and each has a window: how many attempts at once it may have here, so that one that hangs
 * cannot take them all. It begins with 2. Each success while at least half of it is in use adds one, so that a
 * healthy endpoint doubles with every round trip, up to half of the process's attempts, and one that gets little
 * stays small. A timeout takes it back to 1: of an endpoint that hangs, one attempt is waited for at a time,
 * however many of its deliveries are due. So does a pause of its breaker. Where something that was sent later has been
 * answered, a timeout halves it: the endpoint is well, and slow at this one.
 *
 * For an endpoint whose window has grown and that answers quickly, several windows full are claimed ahead, as a claim
 * costs the database much the same for one delivery as for a hundred. What is held for an endpoint that hangs, is
 * paused or is set aside is handed back, so nothing waits here for longer than one attempt may take.
 */
import type { AttemptOutcome } from "./attempt-outcome.ts";
import type { ClaimedDelivery } from "./claim-store.ts";

const INITIAL_WINDOW = 2;
const SMALLEST_WINDOW = 1;
/** A probe failed, and the pause that follows from it is not written yet; or it is set aside. No other may begin. */
const CLOSED = 0;
/** How many windows full are held at most, those under way included. */
const AHEAD = 4;
/** The same of the process's attempts at once, over all endpoints. */
const AHEAD_IN_ALL = 8;
/** An endpoint that takes longer gets one window full, so that no claim runs out while it waits here. */
const QUICK_MS = 1_000;

export interface HeldDeliveries {
  add(claims: readonly ClaimedDelivery[]): void;
  /** The next one to attempt, which is under way from now on; `undefined` when none may be begun. */
  begin(): ClaimedDelivery | undefined;
  end(claim: ClaimedDelivery, outcome: AttemptOutcome): EndedTurn;
  /** What failed as a probe is written: endpoints that are not paused by it may be probed again. */
  reopen(): void;
  /** The endpoint is paused: what is held for it and not under way is held no more. */
  takePaused(endpointId: string): ClaimedDelivery[];
  /** The same, and no more of it is claimed or begun until it is admitted again. */
  setAside(endpointId: string): ClaimedDelivery[];
  /** With one attempt at a time, until one succeeds. */
  admit(endpointId: string): void;
  /** Everything that is not under way; it is held no more. */
  takeWaiting(): ClaimedDelivery[];
  readonly underWay: number;
  readonly waiting: number;
  /** How many of those waiting could begin if only there were more attempts at once. */
  countReady(): number;
  /** How many more may be held, over all endpoints. */
  readonly room: number;
  /** The same by endpoint, for those known here. */
  roomByEndpoint(): Map<string, number>;
  /** For an endpoint not known here. */
  readonly roomOtherwise: number;
  /** Forgets the endpoints that nothing is held for; those that timed out last are remembered. */
  forget(): void;
}

export interface EndedTurn {
  /** There was no room for more of this endpoint, or of any, before: more may be waiting in the database. */
  readonly wasFull: boolean;
  /** Something that was sent to the endpoint after this was answered. */
  readonly answersOthers: boolean;
  /** Held for an endpoint that hangs, and held no more: to be handed back. */
  readonly handedBack: readonly ClaimedDelivery[];
}

interface EndpointQueue {
  window: number;
  underWay: number;
  readonly waiting: ClaimedDelivery[];
  /** Attempts under way, each with its number in the order of their beginnings. */
  readonly begun: { readonly claim: ClaimedDelivery; readonly number: number }[];
  /** By its latest answer. */
  isQuick: boolean;
  /** The number of the latest one that was answered. */
  answered: number;
  /** Whether it is in the line of those that may begin one. */
  isInLine: boolean;
  /** Its window is closed until it is admitted again, whatever comes of attempts under way. */
  isAside: boolean;
}

/** @param concurrency attempts under way at once in this process, over all endpoints */
export function createHeldDeliveries(concurrency: number): HeldDeliveries {
  const largestWindow = Math.ceil(concurrency / 2);
  const initialWindow = Math.min(INITIAL_WINDOW, largestWindow);
  const queues = new Map<string, EndpointQueue>();
  const line: EndpointQueue[] = [];
  let underWay = 0;
  let waiting = 0;
  let lastNumber = 0;

  function queueOf(endpointId: string): EndpointQueue {
    let queue = queues.get(endpointId);
    if (queue === undefined) {
      queue = {
        window: initialWindow,
        underWay: 0,
        waiting: [],
        begun: [],
        isQuick: true,
        answered: 0,
        isInLine: false,
        isAside: false,
      };
      queues.set(endpointId, queue);
    }
    return queue;
  }

  const roomForAll = () => AHEAD_IN_ALL * concurrency - underWay - waiting;
  function roomOf({ window, underWay, waiting, isQuick }: EndpointQueue): number {
    const most = window > initialWindow && isQuick ? AHEAD * window : window;
    return Math.max(0, most - underWay - waiting.length);
  }

  function lineUp(queue: EndpointQueue): void {
    if (queue.isInLine || queue.waiting.length === 0 || queue.underWay >= queue.window) return;
    queue.isInLine = true;
    line.push(queue);
  }

  function takeFrom(queue: EndpointQueue): ClaimedDelivery[] {
    waiting -= queue.waiting.length;
    return queue.waiting.splice(0);
  }

  function shrink(queue: EndpointQueue, answersOthers: boolean): ClaimedDelivery[] {
    queue.window = answersOthers ? Math.max(SMALLEST_WINDOW, Math.floor(queue.window / 2)) : SMALLEST_WINDOW;
    return answersOthers ? [] : takeFrom(queue);
  }

  return {
    get underWay() {
      return underWay;
    },
    get waiting() {
      return waiting;
    },
    countReady: () =>
      line.reduce(
        (sum, { window, underWay, waiting }) => sum + Math.min(window - underWay, waiting.length),
        0,
      ),
    get room() {
      return roomForAll();
    },
    roomOtherwise: initialWindow,
    roomByEndpoint: () => new Map([...queues].map(([id, queue]) => [id, roomOf(queue)])),

    add: (claims) => {
      for (const claim of claims) {
        const queue = queueOf(claim.endpointId);
        if (claim.isProbe && !queue.isAside) queue.window = SMALLEST_WINDOW;
        queue.waiting.push(claim);
        waiting += 1;
        lineUp(queue);
      }
    },

    begin: () => {
      if (underWay >= concurrency) return undefined;
      for (let queue = line.shift(); queue !== undefined; queue = line.shift()) {
        queue.isInLine = false;
        const claim = queue.underWay < queue.window ? queue.waiting.shift() : undefined;
        if (claim === undefined) continue;
        lastNumber += 1;
        queue.begun.push({ claim, number: lastNumber });
        queue.underWay += 1;
        underWay += 1;
        waiting -= 1;
        lineUp(queue);
        return claim;
      }
      return undefined;
    },

    end: (claim, outcome) => {
      const queue = queueOf(claim.endpointId);
      const wasFull = roomOf(queue) === 0 || roomForAll() === 0;
      const isInUse = queue.underWay * 2 >= queue.window;
      queue.underWay -= 1;
      underWay -= 1;
      const number = takeNumber(queue, claim);
      const answersOthers = queue.answered > number;
      if (outcome.httpStatus !== null) {
        queue.answered = Math.max(queue.answered, number);
        queue.isQuick = outcome.durationMs <= QUICK_MS;
      }
      if (outcome.error === null && isInUse) queue.window = Math.min(largestWindow, queue.window + 1);
      const handedBack = outcome.error === "timeout" ? shrink(queue, answersOthers) : [];
      if (queue.isAside || (claim.isProbe && outcome.error !== null)) queue.window = CLOSED;
      lineUp(queue);
      return { wasFull, answersOthers, handedBack };
    },

    reopen: () => {
      for (const queue of queues.values()) {
        if (queue.window !== CLOSED || queue.isAside) continue;
        queue.window = SMALLEST_WINDOW;
        lineUp(queue);
      }
    },

    takePaused: (endpointId) => {
      const queue = queues.get(endpointId);
      if (queue === undefined) return [];
      const taken = shrink(queue, false);
      if (queue.isAside) queue.window = CLOSED;
      return taken;
    },

    setAside: (endpointId) => {
      const queue = queueOf(endpointId);
      queue.isAside = true;
      queue.window = CLOSED;
      return takeFrom(queue);
    },

    admit: (endpointId) => {
      const queue = queueOf(endpointId);
      queue.isAside = false;
      queue.window = SMALLEST_WINDOW;
      lineUp(queue);
    },

    takeWaiting: () => [...queues.values()].flatMap(takeFrom),

    forget: () => {
      for (const [id, queue] of queues) {
        if (queue.underWay + queue.waiting.length === 0 && queue.window >= initialWindow) queues.delete(id);
      }
    },
  };
}

/** There are few. */
function takeNumber({ begun }: EndpointQueue, claim: ClaimedDelivery): number {
  const index = begun.findIndex((each) => each.claim === claim);
  const [taken] = index === -1 ? [] : begun.splice(index, 1);
  return taken?.number ?? 0;
}
