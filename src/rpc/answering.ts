/**
 * How a node is asked anything: only of the right chain, with its record kept, and its name in every error.
 */
import { DepositdError, TemporaryError } from "../core/errors.ts";
import { AnswerRefused } from "./answer.ts";
import type { ChainIdGuard } from "./chain-id-guard.ts";
import type { NodeRecord } from "./node-record.ts";

export type Answering = <Answer>(question: () => Promise<Answer>, signal?: AbortSignal) => Promise<Answer>;

export interface AnsweringParts {
  readonly nodeName: string;
  readonly guard: ChainIdGuard;
  readonly record: Pick<NodeRecord, "onAnswer" | "onError">;
  /** After the record has it. */
  readonly onError?: (error: DepositdError) => void;
}

export function createAnswering({ nodeName, guard, record, onError }: AnsweringParts): Answering {
  return async (question, signal) => {
    try {
      await guard.ensure(signal);
      const answer = await question();
      // The connection was lost meanwhile: what answered may not be what was checked.
      if (!guard.isValid()) await guard.ensure(signal);
      record.onAnswer();
      return answer;
    } catch (rawError) {
      if (signal?.aborted === true) throw rawError;
      guard.invalidate();
      const error = rawError instanceof AnswerRefused ? refused(nodeName, rawError) : rawError;
      if (error instanceof DepositdError) {
        record.onError(error);
        onError?.(error);
      }
      throw error;
    }
  };
}

function refused(node: string, error: AnswerRefused): TemporaryError {
  return new TemporaryError(
    "node_answer_invalid",
    `The node ${node} gave an answer that cannot be: ${error.message}`,
    { node, ...error.facts },
  );
}
