/** `doctor`: looks at every part the daemon needs, and says what to do about each. */
import { coerceError } from "../../core/errors.ts";
import { openUnpreparedDatabase } from "../../db/open-database.ts";
import { systemClock } from "../../runtime/clock.ts";
import { systemRandom } from "../../runtime/random.ts";
import { checkCallbacks } from "../callbacks-checks.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { checkChainStates } from "../doctor-chains.ts";
import {
  checkDatabase,
  checkedConfig,
  checkLogsOfNative,
  checkMempool,
  checkNodes,
  checkQueue,
  checkSecretKey,
  type DoctorParts,
  type Finding,
} from "../doctor-checks.ts";
import { checkSealedSecrets } from "../doctor-secrets.ts";
import { checkTokenContracts } from "../doctor-tokens.ts";
import { EXIT } from "../exit-code.ts";
import { checkReview } from "../sender-list-checks.ts";
import { setUp } from "../setup.ts";
import { alignColumns } from "../table.ts";

/** Exits with 1 when something failed; warnings alone are none. @throws {ConfigInvalidError} nothing can be checked then */
export async function doctorCommand(options: GlobalOptions): Promise<CommandResult> {
  // What it would log, it tells.
  const setup = await setUp(options, "silent");
  const parts: DoctorParts = { ...setup, clock: systemClock };
  const [secretKey, callbacks, review, database, nodes] = await Promise.all([
    checkSecretKey(parts),
    checkCallbacks(parts),
    checkReview(parts.config),
    checkDatabaseAndQueue(parts),
    Promise.all(
      parts.config.chains.map(async (chain) => [
        ...(await checkNodes(chain, parts)),
        ...(await checkLogsOfNative(chain, parts)),
        ...(await checkMempool(chain, parts)),
        ...(await checkTokenContracts(chain, parts)),
      ]),
    ),
  ]);
  const own = [...checkedConfig(parts.config), secretKey, ...callbacks, ...review];
  const findings = [...own, ...database, ...nodes.flat()];
  const isWell = findings.every((finding) => finding.level !== "fail");
  return {
    exitCode: isWell ? EXIT.done : EXIT.failed,
    json: { ok: isWell, findings },
    text: findingsText(findings),
  };
}

async function checkDatabaseAndQueue(parts: DoctorParts): Promise<Finding[]> {
  const runtime = {
    logger: parts.logger,
    clock: parts.clock,
    random: systemRandom,
    applicationName: "depositd doctor",
  };
  try {
    const opened = await openUnpreparedDatabase(parts.config, { ...runtime, migrate: false });
    try {
      const database = await checkDatabase(opened, parts);
      const isPrepared = database.some(({ part, level }) => part === "schema" && level === "ok");
      const inside = isPrepared
        ? [
            ...(await checkSealedSecrets(opened.database, parts)),
            ...(await checkChainStates(opened.database, parts.config.chains)),
          ]
        : [];
      const isQueueAway =
        parts.config.queue.url === null &&
        database.some((finding) => finding.part === "database" && finding.level === "fail");
      return isQueueAway ? database : [...database, await checkQueue(opened.url, parts), ...inside];
    } finally {
      await opened.close();
    }
  } catch (rawError) {
    const advice = "Check dataDir and its permissions, or set database.url to a PostgreSQL of your own.";
    return [{ part: "database", level: "fail", found: coerceError(rawError).message, advice }];
  }
}

function findingsText(findings: readonly Finding[]): string {
  const lines = alignColumns(findings.map(({ level, part, found }) => [level, part, found])).split("\n");
  const indent = " ".repeat("warn  ".length);
  return findings
    .flatMap((finding, index) => [
      lines[index] ?? "",
      ...(finding.advice === null ? [] : [`${indent}-> ${finding.advice}`]),
    ])
    .join("\n");
}
