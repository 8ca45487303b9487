/** What is wrong with a config, all of it at once: each fault with its path, what was expected and what stands there. */
import type { z } from "zod";
import { InputError } from "../../core/errors.ts";
import { type ConfigFault, type PathKeys, pathText, valueAt } from "./config-path.ts";
import type { ConfigTree } from "./config-tree.ts";
import { hideUrl, hideUrls } from "./hide-url.ts";

/** `config_invalid`, with every fault that was found. */
export class ConfigInvalidError extends InputError {
  readonly faults: readonly ConfigFault[];

  constructor(file: string, faults: readonly ConfigFault[]) {
    const lines = faults.map((fault) => `${fault.path}: ${fault.message}`);
    super(
      "config_invalid",
      `${file} has ${faults.length} ${faults.length === 1 ? "fault" : "faults"}: ${lines.join("; ")}`,
      {
        file,
        faults: faults.length,
      },
    );
    this.faults = faults;
  }
}

/** Zod's issues as faults. A message that begins with "expected" is completed by what stands there instead. */
export function faultsOfIssues(issues: readonly z.core.$ZodIssue[], tree: ConfigTree): ConfigFault[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") return [faultAt(issue.path, issue.message, tree)];
    return issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: "unknown key" }));
  });
}

export function faultAt(path: PathKeys, message: string, tree: ConfigTree): ConfigFault {
  const place = pathText(path);
  if (!message.startsWith("expected ")) return { path: place, message };
  const value = valueAt(tree.value, path);
  return {
    path: place,
    message: value === undefined ? `missing, ${message}` : `${message}, got ${shownValue(path, value, tree)}`,
  };
}

const URL_KEYS = ["url", "ws", "publicUrl"];

/** Never a secret: what came from a variable is named by it, a URL loses what may be secret, a subtree is only named. */
function shownValue(path: PathKeys, value: unknown, tree: ConfigTree): string {
  const template = tree.templates.get(pathText(path));
  if (template !== undefined) return `the value of ${template}`;
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  if (typeof value !== "string") return String(value);
  const shown = URL_KEYS.includes(String(path.at(-1))) ? hideUrl(value) : hideUrls(value);
  return JSON.stringify(shown.length > 100 ? `${shown.slice(0, 100)}…` : shown);
}
