/** `config check`: every fault, or what is in force. */
import { stringify } from "yaml";
import { describeConfig } from "../../runtime/config/describe-config.ts";
import { ConfigInvalidError } from "../../runtime/config/faults.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { setUp } from "../setup.ts";

/** @throws {ConfigInvalidError} without `--json`: then the faults are told like every other command tells them */
export async function checkConfig(options: GlobalOptions): Promise<CommandResult> {
  try {
    const described = describeConfig((await setUp(options)).config);
    return {
      exitCode: EXIT.done,
      json: { valid: true, config: described },
      text: stringify(described).trimEnd(),
    };
  } catch (rawError) {
    if (!options.json || !(rawError instanceof ConfigInvalidError)) throw rawError;
    return { exitCode: EXIT.usage, json: { valid: false, faults: rawError.faults }, text: "" };
  }
}
