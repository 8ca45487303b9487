/** What has to be put down at the end, in the opposite order of its taking up. */
import { coerceError } from "./core/errors.ts";
import type { Logger } from "./runtime/logger.ts";

export interface Closing {
  add(name: string, close: () => Promise<void>): void;
  /** In the opposite order of adding; one that fails does not keep the others from closing. */
  closeAll(): Promise<void>;
}

export function createClosing(logger: Logger): Closing {
  const parts: { name: string; close: () => Promise<void> }[] = [];
  return {
    add: (name, close) => {
      parts.push({ name, close });
    },
    closeAll: async () => {
      for (const { name, close } of parts.splice(0).reverse()) {
        try {
          await close();
        } catch (rawError) {
          logger.error("Failed to close a part", { part: name, error: coerceError(rawError) });
        }
      }
    },
  };
}
