/** The command line: reads arguments, runs one command, prints what it gives back, and answers the exit code. */
import { Command, CommanderError, Option } from "commander";
import type { ReviewAct } from "../review/review-act-store.ts";
import { LOG_LEVELS } from "../runtime/logger.ts";
import { VERSION } from "../runtime/version.ts";
import type { CommandResult, GlobalOptions } from "./command.ts";
import type { RescanArguments } from "./commands/chains.ts";
import type { ExtendedKeyArguments } from "./commands/extended-keys.ts";
import type { AuditArguments, ReviewArguments } from "./commands/holds.ts";
import type { ListenArguments } from "./commands/listen.ts";
import type { ReplayArguments } from "./commands/replay.ts";
import type { VerifyArguments } from "./commands/verify.ts";
import { errorJson, errorText } from "./error-text.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit-code.ts";
import type { Progress } from "./progress.ts";

export interface Output {
  out(text: string): void;
  err(text: string): void;
  /** Shows how far a long command is; does nothing where nobody watches. */
  readonly progress: Progress;
}

/** @param args without the program's own name */
export async function runProgram(args: readonly string[], output: Output): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const program = createProgram(output, (result, options) => {
    exitCode = result.exitCode;
    const text = options.json ? JSON.stringify(result.json) : result.text;
    if (text !== "") output.out(`${text}\n`);
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (rawError) {
    // Commander has told the reason already; asking for help or the version is no error.
    if (rawError instanceof CommanderError) return rawError.exitCode === 0 ? EXIT.done : EXIT.usage;
    const options = program.opts<GlobalOptions>();
    const withCauses = options.logLevel === "debug";
    output.err(
      `${options.json ? JSON.stringify(errorJson(rawError)) : errorText(rawError, { withCauses })}\n`,
    );
    return exitCodeOf(rawError);
  }
}

type Run<Arguments extends unknown[]> = (
  options: GlobalOptions,
  ...given: Arguments
) => Promise<CommandResult>;

/** Each command's module is loaded when it is called: `--help` must not wait for the daemon's. */
function createProgram(
  output: Output,
  finish: (result: CommandResult, options: GlobalOptions) => void,
): Command {
  const program = new Command("depositd")
    .description("Watches EVM chains for deposits, credits them and tells the merchant.")
    .version(VERSION)
    .option("--config <file>", "config file (default: DEPOSITD_CONFIG, or config/depositd.yaml)")
    .option("--json", "print JSON", false)
    .addOption(new Option("--log-level <level>", "how much is logged to standard error").choices(LOG_LEVELS))
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .exitOverride();
  const run =
    <Arguments extends unknown[]>(command: Run<Arguments>) =>
    async (...given: [...Arguments, ...unknown[]]) => {
      const options = program.opts<GlobalOptions>();
      finish(await command(options, ...(given as unknown as Arguments)), options);
    };

  program
    .command("start")
    .description("run the daemon")
    .option("--roles <list>", "only these of scan,settle,deliver,http")
    .action(
      run(async (options, given: { roles?: string }) =>
        (await import("./commands/start.ts")).startCommand(options, given, output.progress),
      ),
    );
  program
    .command("migrate")
    .description("bring the database to this version's schema")
    .action(run(async (options) => (await import("./commands/migrate.ts")).migrateCommand(options)));
  program
    .command("doctor")
    .description("check config, secret key, database, queue and nodes, and say what to do about each")
    .action(run(async (options) => (await import("./commands/doctor.ts")).doctorCommand(options)));
  program
    .command("status")
    .description("chains, deposits and deliveries in flight, the oldest of each")
    .action(run(async (options) => (await import("./commands/status.ts")).statusCommand(options)));
  program
    .command("verify")
    .description("check the books against themselves, and deposits against the chain")
    .option("--chain <id>", "only this chain's deposits")
    .option("--sample <n>", "how many blocks of each chain are looked at", "100")
    .option("--all", "every block from the first with a deposit on", false)
    .option("--books-only", "ask no node", false)
    .option("--balances", "compare what addresses hold with what came in; a sample of them, or --all", false)
    .option("--audit-head <hash>", "a head of the audit log, noted down once: is it still in the log?")
    .action(
      run(async (options, given: VerifyArguments) =>
        (await import("./commands/verify.ts")).verifyCommand(options, given, output.progress),
      ),
    );
  addChains(program, run, output);
  addHolds(program, run);
  addCallbacks(program, run, output);
  addListen(program, run, output);
  addSecrets(program, run, output);
  addConfig(program, run);
  addMerchants(program, run);
  addAddresses(program, run, output);
  return program;
}

type Wrap = <Arguments extends unknown[]>(
  command: Run<Arguments>,
) => (...given: [...Arguments, ...unknown[]]) => Promise<void>;

function addConfig(program: Command, run: Wrap): void {
  program
    .command("config")
    .description("the configuration")
    .command("check")
    .description("tell every fault, or print what is in force with secrets hidden")
    .action(run(async (options) => (await import("./commands/config-check.ts")).checkConfig(options)));
}

function addChains(program: Command, run: Wrap, output: Output): void {
  const commands = () => import("./commands/chains.ts");
  program
    .command("rescan")
    .description(
      "ingest blocks again, with the same result; finds deposits to addresses registered after them",
    )
    .requiredOption("--chain <id>", "chain id")
    .requiredOption("--from <n>", "first block")
    .requiredOption("--to <n>", "last block")
    .option("--address <address>", "only deposits to this watched address")
    .action(
      run(async (options, given: RescanArguments) =>
        (await commands()).rescanCommand(options, given, output.progress),
      ),
    );
  program
    .command("chain")
    .description("chains")
    .command("resume")
    .description("let a halted chain go on from a block of the nodes' present branch")
    .requiredOption("--chain <id>", "chain id")
    .requiredOption("--from <n>", "first block to ingest again")
    .action(
      run(async (options, given: { chain: string; from: string }) =>
        (await commands()).resumeChainCommand(options, given),
      ),
    );
}

function addHolds(program: Command, run: Wrap): void {
  const commands = () => import("./commands/holds.ts");
  const hold = program.command("hold").description("deposits that wait for a review");
  hold
    .command("list")
    .description("those that are held, and what operators proposed")
    .action(run(async (options) => (await commands()).listHoldsCommand(options)));
  const review = (act: ReviewAct, description: string) =>
    hold
      .command(`${act} <deposit>`)
      .description(description)
      .requiredOption("--note <text>", "why, for the audit log")
      .option("--sequence <n>", "the deposit's sequence that you saw: refused if it has another by now")
      .action(
        run(async (options, depositId: string, given: Omit<ReviewArguments, "depositId">) =>
          (await commands()).reviewCommand(options, act, { depositId, ...given }),
        ),
      );
  review("release", "credit it after all; with review.fourEyes as the operator of DEPOSITD_OPERATOR_KEY");
  review("reject", "refuse it for good; with review.fourEyes as the operator of DEPOSITD_OPERATOR_KEY");
  program
    .command("audit")
    .description("what operators did")
    .command("list")
    .description("the audit log, oldest first")
    .option("--after <sequence>", "rows after this one", "0")
    .option("--limit <n>", "how many at most", "1000")
    .action(
      run(async (options, given: AuditArguments) => (await commands()).listAuditCommand(options, given)),
    );
}

function addCallbacks(program: Command, run: Wrap, output: Output): void {
  program
    .command("replay")
    .description("send an endpoint's deliveries again, with the same ids and bodies")
    .requiredOption("--endpoint <id>", "endpoint id")
    .requiredOption(
      "--since <time>",
      "events of this time and later: 2026-11-24T06:00:00Z, or 6h for six hours ago",
    )
    .option("--until <time>", "events before this time (default: now)")
    .option("--status <list>", "only these of delivered,failed,skipped")
    .option("--type <list>", "only these event types")
    .action(
      run(async (options, given: ReplayArguments) =>
        (await import("./commands/replay.ts")).replayCommand(options, given, output.progress),
      ),
    );
}

function addListen(program: Command, run: Wrap, output: Output): void {
  program
    .command("listen")
    .description("forward a merchant's events to a local URL, as an endpoint would get them")
    .requiredOption("--url <url>", "where to post them")
    .option("--api <url>", "the daemon's API", "http://127.0.0.1:8420")
    .option("--key <key>", "API key (default: DEPOSITD_API_KEY)")
    .option("--secret <secret>", "sign with this whsec_… (default: a new one, which is printed)")
    .option("--events <list>", "only these event types")
    .option("--from-start", "from the first event there is, instead of from now on")
    .action(
      run(async (_options, given: ListenArguments) =>
        (await import("./commands/listen.ts")).listenCommand(given, (line) => output.err(`${line}\n`)),
      ),
    );
}

function addSecrets(program: Command, run: Wrap, output: Output): void {
  program
    .command("secrets")
    .description("endpoint secrets at rest")
    .command("reseal")
    .description("seal them under DEPOSITD_SECRET_KEY, those of DEPOSITD_OLD_SECRET_KEYS too")
    .action(
      run(async (options) => (await import("./commands/secrets.ts")).resealCommand(options, output.progress)),
    );
}

function addMerchants(program: Command, run: Wrap): void {
  const commands = () => import("./commands/merchants.ts");
  const merchant = program.command("merchant").description("tenants");
  merchant
    .command("create <name>")
    .description("make a merchant with its first API key, which is shown once")
    .option("--operator", "the key may use /v1/admin", false)
    .option("--xpub <key>", "derive its addresses from this extended public key")
    .action(
      run(async (options, name: string, given: { operator: boolean; xpub?: string }) =>
        (await commands()).createMerchantCommand(options, { name, ...given }),
      ),
    );
  merchant
    .command("xpub <merchant> [key]")
    .description("show or set the extended public key that a merchant's addresses are derived from")
    .option("--from <index>", "derive none before it", "0")
    .option("--count <n>", "how many of its addresses are shown", "3")
    .option("--dry-run", "show what the key gives, and set nothing", false)
    .option("--remove", "derive nothing more; what was derived stays watched", false)
    .action(
      run(
        async (
          options,
          merchant: string,
          key: string | undefined,
          given: Omit<ExtendedKeyArguments, "merchant">,
        ) =>
          (await import("./commands/extended-keys.ts")).extendedKeyCommand(options, {
            ...given,
            merchant,
            key,
          }),
      ),
    );
  const key = program.command("key").description("API keys");
  key
    .command("create <merchant>")
    .description("make another API key for a merchant, by id or name; it is shown once")
    .option("--operator", "the key may use /v1/admin", false)
    .option("--name <operator>", "which operator has it: what four eyes go by")
    .action(
      run(async (options, merchant: string, given: { operator: boolean; name?: string }) =>
        (await commands()).createKeyCommand(options, { merchant, ...given }),
      ),
    );
  key
    .command("revoke <id>")
    .description("end an API key")
    .action(run(async (options, id: string) => (await commands()).revokeKeyCommand(options, id)));
}

function addAddresses(program: Command, run: Wrap, output: Output): void {
  program
    .command("address")
    .description("watched addresses")
    .command("import <file>")
    .description("register the addresses of a file: lines of address,userId or NDJSON; run it again to go on")
    .requiredOption("--merchant <id>", "whose users they are, by id or name")
    .action(
      run(async (options, file: string, { merchant }: { merchant: string }) =>
        (await import("./commands/addresses.ts")).importAddressesCommand(
          options,
          { file, merchant },
          output.progress,
        ),
      ),
    );
}
