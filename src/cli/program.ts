import { Command } from 'commander';
import type { BackfillOptions } from './backfill.ts';
import { defaultHealthFile } from './health-file.ts';
import type { HealthOptions } from './health.ts';
import type { ReportOptions } from './report-command.ts';
import type { PruneOptions } from './prune.ts';
import type { RunOptions } from './run.ts';
import type { RunsOptions } from './runs.ts';
import type { GlobalOptions } from './open-config.ts';
import { packageVersion } from './version.ts';
import type { StatusOptions } from './status.ts';
import type { SweepOptions } from './sweep.ts';
import type { VerifyOptions } from './verify.ts';
import type { WorkerOptions } from './worker.ts';

// Each command is loaded when it is called: a probe every few seconds should not pay for the AWS SDK.

const exitCodeHelp = `
Exit codes: 0 done, 1 failed, 2 usage or config, 3 some windows failed, 4 timed out with work left, 130 interrupted.`;

/** The command line: what there is, with an example for each. `exit` receives the command's exit code. */
export function buildProgram(exit: (code: number) => void): Command {
  // What is set here before the first command is made holds for all of them.
  const program = new Command('udm-sync')
    .description(
      'Copies Genesys UDM v10 exports into S3, verifies them there, and only then deletes them upstream.',
    )
    .version(packageVersion())
    .option('-c, --config <file>', 'the config file (default: $UDM_SYNC_CONFIG, else udm-sync.yaml)')
    .addHelpText('after', exitCodeHelp)
    .showHelpAfterError('(add --help for help)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'udm-sync: ')),
    })
    .exitOverride();

  const command = (parent: Command, name: string, description: string, example: string) =>
    parent.command(name).description(description).addHelpText('after', `\nExample:\n  ${example}\n`);
  const withJson = (target: Command) => target.option('--json', 'print JSON on stdout; logs go to stderr');

  command(
    program,
    'worker',
    'plan by the schedules and work until stopped',
    'udm-sync worker --config udm-sync.yaml',
  )
    .option('--health-file <file>', 'where to note that the loop turns', defaultHealthFile)
    .option('--page-port <port>', 'where to serve the status page, instead of page.port')
    .action(async (_: unknown, self: Command) =>
      exit(await (await import('./worker.ts')).workerCommand(self.optsWithGlobals<WorkerOptions>())),
    );

  withJson(
    command(
      program,
      'run',
      'plan what is due, work until it is done, exit (for a CronJob)',
      'udm-sync run contacts-hourly --timeout 50m',
    ),
  )
    .argument('[definition...]', 'definitions to run; all if none is named')
    .option('--timeout <duration>', 'give up after this long; the rest goes on next time')
    .option('--page-port <port>', 'serve the status page on this port meanwhile')
    .action(async (names: string[], _: unknown, self: Command) =>
      exit(await (await import('./run.ts')).runCommand(names, self.optsWithGlobals<RunOptions>())),
    );

  withJson(
    command(
      program,
      'backfill',
      'export a range of history, skipping what is done; run again to continue',
      'udm-sync backfill contacts-hourly --from 2026-01-01 --to 2026-02-01 --dry-run',
    ),
  )
    .argument('<definition>')
    .requiredOption('--from <instant>', 'start of the range, included (UTC)')
    .requiredOption('--to <instant>', 'end of the range, excluded (UTC)')
    .option('--dry-run', 'only show what would be done')
    .option('--concurrency <n>', 'windows under way at once', '4')
    .option('--timeout <duration>', 'give up after this long; run it again to continue')
    .option('--page-port <port>', 'serve the status page on this port meanwhile')
    .action(async (name: string, _: unknown, self: Command) =>
      exit(
        await (await import('./backfill.ts')).backfillCommand(name, self.optsWithGlobals<BackfillOptions>()),
      ),
    );

  withJson(
    command(program, 'status', 'is my data safe? what is missing, at risk, under way', 'udm-sync status'),
  )
    .option('--watch [interval]', 'show it again every so often (default: 5s) until interrupted')
    .action(async (_: unknown, self: Command) =>
      exit(await (await import('./status.ts')).statusCommand(self.optsWithGlobals<StatusOptions>())),
    );

  withJson(
    command(program, 'runs', 'list runs, newest window first', 'udm-sync runs --state failed --limit 20'),
  )
    .option('--definition <name>', 'only of this definition')
    .option('--state <states>', 'only in these states, separated by commas')
    .option('--limit <n>', 'at most so many', '50')
    .action(async (_: unknown, self: Command) =>
      exit(await (await import('./runs.ts')).runsCommand(self.optsWithGlobals<RunsOptions>())),
    );

  for (const [name, description, execute] of [
    ['run-history', 'everything that happened to one run', 'runHistoryCommand'],
    ['retry', 'let a failed or cancelled run go on where it left off', 'retryCommand'],
    ['cancel', 'cancel a run, also upstream', 'cancelCommand'],
  ] as const)
    withJson(command(program, name, description, `udm-sync ${name} 42`))
      .argument('<run>', 'its id, as udm-sync runs shows it')
      .action(async (id: string, _: unknown, self: Command) =>
        exit(await (await import('./runs.ts'))[execute](id, self.optsWithGlobals<GlobalOptions>())),
      );

  command(
    program,
    'report',
    'what was transferred, verified, deleted upstream, missed and lost, as evidence',
    'udm-sync report --from 2026-01-01 --to 2026-02-01 --output january.html',
  )
    .requiredOption('--from <instant>', 'windows that begin then or later (UTC)')
    .requiredOption('--to <instant>', 'and before this (UTC)')
    .option('--definition <name>', 'only of this definition')
    .option('--format <format>', "json, csv or html (default: by the output's ending, else json)")
    .option('--output <file>', 'where to write it; - is stdout', '-')
    .action(async (_: unknown, self: Command) =>
      exit(await (await import('./report-command.ts')).reportCommand(self.optsWithGlobals<ReportOptions>())),
    );

  withJson(
    command(
      program,
      'doctor',
      'try everything a run needs, and say what to do about what fails',
      'udm-sync doctor',
    ),
  ).action(async (_: unknown, self: Command) =>
    exit(await (await import('./doctor.ts')).doctorCommand(self.optsWithGlobals<GlobalOptions>())),
  );

  withJson(
    command(
      program,
      'verify',
      'does the sink still hold what was stored? changes nothing',
      'udm-sync verify contacts-hourly --from 2026-01-01 --deep',
    ),
  )
    .argument('[definition...]', 'definitions to verify; all if none is named')
    .option('--run <id...>', 'only these runs')
    .option('--from <instant>', 'only windows that reach beyond it (UTC)')
    .option('--to <instant>', 'only windows that begin before it (UTC)')
    .option('--deep', 'also read every file back')
    .option('--concurrency <n>', 'calls to sinks under way at once', '16')
    .action(async (names: string[], _: unknown, self: Command) =>
      exit(await (await import('./verify.ts')).verifyCommand(names, self.optsWithGlobals<VerifyOptions>())),
    );

  withJson(
    command(
      program,
      'sweep',
      'abort unfinished uploads that nobody will continue; they are invisible, and paid for',
      'udm-sync sweep --dry-run',
    ),
  )
    .argument('[sink...]', 'sinks to sweep; all if none is named')
    .option('--older-than <duration>', 'how old an upload must be that Postgres does not know', '24h')
    .option('--dry-run', 'only count what would be aborted')
    .action(async (names: string[], _: unknown, self: Command) =>
      exit(await (await import('./sweep.ts')).sweepCommand(names, self.optsWithGlobals<SweepOptions>())),
    );

  withJson(
    command(
      program,
      'notify-test',
      'send a test message to the webhooks, and say what came back',
      'udm-sync notify-test ops',
    ),
  )
    .argument('[name]', 'the webhook; all if none is named')
    .action(async (name: string | undefined, _: unknown, self: Command) =>
      exit(
        await (
          await import('./notify-test.ts')
        ).notifyTestCommand(name, self.optsWithGlobals<GlobalOptions>()),
      ),
    );

  const cipher = command(
    program,
    'cipher',
    'the certificate that the upstream encrypts files for',
    'udm-sync cipher show',
  );
  withJson(command(cipher, 'show', 'show it', 'udm-sync cipher show'))
    .argument('[tenant]', 'needed if the config has several')
    .action(async (tenant: string | undefined, _: unknown, self: Command) =>
      exit(
        await (await import('./cipher.ts')).cipherShowCommand(tenant, self.optsWithGlobals<GlobalOptions>()),
      ),
    );
  withJson(
    command(
      cipher,
      'upload',
      'replace it by an X.509 certificate for an RSA key',
      'udm-sync cipher upload export-2026.pem',
    ),
  )
    .argument('<certificate>', 'PEM or DER file')
    .argument('[tenant]', 'needed if the config has several')
    .action(async (file: string, tenant: string | undefined, _: unknown, self: Command) =>
      exit(
        await (
          await import('./cipher.ts')
        ).cipherUploadCommand(file, tenant, self.optsWithGlobals<GlobalOptions>()),
      ),
    );

  withJson(
    command(
      program,
      'prune',
      'delete the details of old runs from Postgres; their windows still count as done',
      'udm-sync prune --older-than 400d --dry-run',
    ),
  )
    .option('--older-than <duration>', 'of runs that finished so long ago (default: history.keep, else 400d)')
    .option('--dry-run', 'only count what would go')
    .action(async (_: unknown, self: Command) =>
      exit(await (await import('./prune.ts')).pruneCommand(self.optsWithGlobals<PruneOptions>())),
    );

  withJson(command(program, 'migrate', 'bring the database to this version', 'udm-sync migrate')).action(
    async (_: unknown, self: Command) =>
      exit(await (await import('./migrate.ts')).migrateCommand(self.optsWithGlobals<GlobalOptions>())),
  );

  const config = command(program, 'config', 'show the configuration', 'udm-sync config print');
  withJson(command(config, 'print', 'as it is used, secrets masked', 'udm-sync config print')).action(
    async (_: unknown, self: Command) =>
      exit(await (await import('./config.ts')).configPrintCommand(self.optsWithGlobals<GlobalOptions>())),
  );
  command(
    config,
    'schema',
    'its JSON Schema, for editors',
    'udm-sync config schema > udm-sync.schema.json',
  ).action(async () => exit((await import('./config.ts')).configSchemaCommand()));

  withJson(
    command(
      program,
      'health',
      "whether this container's worker is alive (for exec probes)",
      'udm-sync health --max-age 60s',
    ),
  )
    .option('--max-age <duration>', 'how old its last sign of life may be', '60s')
    .option('--health-file <file>', 'where the worker notes it', defaultHealthFile)
    .action(async (_: unknown, self: Command) =>
      exit(await (await import('./health.ts')).healthCommand(self.optsWithGlobals<HealthOptions>())),
    );

  command(
    program,
    'completion',
    'a script that lets your shell complete commands and options',
    'udm-sync completion bash > ~/.local/share/bash-completion/completions/udm-sync',
  )
    .argument('<shell>', 'bash, zsh or fish')
    .action(async (shell: string) =>
      exit((await import('./completion.ts')).completionCommand(shell, program)),
    );

  return program;
}
