/** The sender lists and the screening service, as `config check` and `doctor` look at them. */
import { coerceError } from "../core/errors.ts";
import { readSenderList } from "../review/sender-lists.ts";
import type { Config } from "../runtime/config/config.ts";
import { ConfigInvalidError } from "../runtime/config/faults.ts";
import { hideUrl } from "../runtime/config/hide-url.ts";
import { type Finding, fail, ok, warn } from "./doctor-checks.ts";

/** @throws {ConfigInvalidError} with every list that a start would refuse */
export async function assertSenderLists({ file, review }: Config): Promise<void> {
  const faults = (await readLists(review.senderLists)).flatMap((list, index) =>
    list.problem === null ? [] : [{ path: `review.senderLists[${index}]`, message: list.problem }],
  );
  if (faults.length > 0) throw new ConfigInvalidError(file, faults);
}

/** Nobody is asked anything: a question would be about a deposit that is not there. */
export async function checkReview({ review }: Config): Promise<Finding[]> {
  const lists = await readLists(review.senderLists);
  return [
    ...lists.map(({ file, problem, addressCount }) =>
      problem === null
        ? ok("sender list", `${file}: ${addressCount} addresses`)
        : fail(
            "sender list",
            problem,
            "Mend it: a start refuses it, a daemon at work keeps what it has read.",
          ),
    ),
    ...screeningFindings(review),
  ];
}

function screeningFindings({ screening }: Config["review"]): Finding[] {
  if (screening === null) return [];
  if (screening.onNoAnswer === "hold") return [ok("screening", hideUrl(screening.url))];
  const found = `${hideUrl(screening.url)}: what it does not answer about is credited`;
  return [warn("screening", found, "Set review.screening.onNoAnswer to hold, unless that is what you want.")];
}

async function readLists(files: readonly string[]) {
  const read = files.map(async (file) => {
    try {
      return { file, addressCount: (await readSenderList(file)).size, problem: null };
    } catch (rawError) {
      return { file, addressCount: 0, problem: coerceError(rawError).message };
    }
  });
  return Promise.all(read);
}
