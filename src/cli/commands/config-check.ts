/** `config check`: every fault, or what is in force and what it would do to the deposits in flight. */
import { stringify } from "yaml";
import { describeConfig } from "../../runtime/config/describe-config.ts";
import { ConfigInvalidError } from "../../runtime/config/faults.ts";
import type { CommandResult, GlobalOptions } from "../command.ts";
import { EXIT } from "../exit-code.ts";
import { previewPolicies, previewText } from "../policy-preview.ts";
import { assertSenderLists } from "../sender-list-checks.ts";
import { setUp } from "../setup.ts";

/** @throws {ConfigInvalidError} without `--json`: then the faults are told like every other command tells them */
export async function checkConfig(options: GlobalOptions): Promise<CommandResult> {
  try {
    const setup = await setUp(options, "silent");
    await assertSenderLists(setup.config);
    const described = describeConfig(setup.config);
    const preview = await previewPolicies(setup);
    return {
      exitCode: EXIT.done,
      json: { valid: true, config: described, inFlight: preview },
      text: `${stringify(described)}\n${previewText(preview)}`,
    };
  } catch (rawError) {
    if (!options.json || !(rawError instanceof ConfigInvalidError)) throw rawError;
    return { exitCode: EXIT.usage, json: { valid: false, faults: rawError.faults }, text: "" };
  }
}
