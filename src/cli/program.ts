import { Command, Option } from 'commander';
import { backfillCommand } from './backfill.ts';
import type { BackfillOptions } from './backfill.ts';
import { cipherShowCommand, cipherUploadCommand } from './cipher.ts';
import { configPrintCommand, configSchemaCommand, migrateCommand } from './config.ts';
import { doctorCommand } from './doctor.ts';
import { healthCommand } from './health.ts';
import { runCommand } from './run.ts';
import { cancelCommand, retryCommand, runHistoryCommand, runsCommand } from './runs.ts';
import type { RunsOptions } from './runs.ts';
import type { GlobalOptions } from './session.ts';
import { statusCommand } from './status.ts';
import { packageVersion } from './version.ts';
import { workerCommand } from './worker.ts';

const exitCodeHelp = `
Exit codes: 0 done, 1 failed, 2 usage or config, 3 some windows failed, 4 timed out with work left, 130 interrupted.`;

/** The command line: what there is, with an example for each. `exit` receives the command's exit code. */
export function buildProgram(exit: (code: number) => void): Command {
  const program = new Command('udm-sync')
    .description(
      'Copies Genesys UDM v10 exports into S3, verifies them there, and only then deletes them upstream.',
    )
    .version(packageVersion())
    .addHelpText('after', exitCodeHelp)
    .showHelpAfterError('(add --help for help)')
    .exitOverride();

  const command = (name: string, description: string, example: string) =>
    program
      .command(name)
      .description(description)
      .option('-c, --config <file>', 'the config file (default: $UDM_SYNC_CONFIG, else udm-sync.yaml)')
      .addHelpText('after', `\nExample:\n  ${example}\n`)
      .exitOverride();
  const withJson = (target: Command) => target.option('--json', 'print JSON on stdout; logs go to stderr');

  command('worker', 'plan by the schedules and work until stopped', 'udm-sync worker -c udm-sync.yaml')
    .addOption(new Option('--health-file <file>', 'where to note that the loop turns').hideHelp())
    .action(async (options: GlobalOptions & { healthFile?: string }) => exit(await workerCommand(options)));

  withJson(
    command(
      'run',
      'plan what is due, work until it is done, exit (for a CronJob)',
      'udm-sync run contacts-hourly --timeout 50m',
    ),
  )
    .argument('[definition...]', 'definitions to run; all if none is named')
    .option('--timeout <duration>', 'give up after this long; the rest goes on next time')
    .action(async (names: string[], options: GlobalOptions & { timeout?: string }) =>
      exit(await runCommand(names, options)),
    );

  withJson(
    command(
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
    .action(async (name: string, options: BackfillOptions) => exit(await backfillCommand(name, options)));

  withJson(
    command('status', 'is my data safe? what is missing, at risk, under way', 'udm-sync status'),
  ).action(async (options: GlobalOptions) => exit(await statusCommand(options)));

  withJson(command('runs', 'list runs, newest window first', 'udm-sync runs --state failed --limit 20'))
    .option('--definition <name>', 'only of this definition')
    .option('--state <states>', 'only in these states, separated by commas')
    .option('--limit <n>', 'at most so many', '50')
    .action(async (options: RunsOptions) => exit(await runsCommand(options)));

  withJson(command('run-history', 'everything that happened to one run', 'udm-sync run-history 42'))
    .argument('<run>')
    .action(async (id: string, options: GlobalOptions) => exit(await runHistoryCommand(id, options)));

  withJson(command('retry', 'a failed or cancelled run goes on where it left off', 'udm-sync retry 42'))
    .argument('<run>')
    .action(async (id: string, options: GlobalOptions) => exit(await retryCommand(id, options)));

  withJson(command('cancel', 'cancel a run, also upstream', 'udm-sync cancel 42'))
    .argument('<run>')
    .action(async (id: string, options: GlobalOptions) => exit(await cancelCommand(id, options)));

  withJson(
    command('doctor', 'try everything a run needs, and say what to do about what fails', 'udm-sync doctor'),
  ).action(async (options: GlobalOptions) => exit(await doctorCommand(options)));

  const cipher = program
    .command('cipher')
    .description('the certificate that the upstream encrypts files for')
    .exitOverride();
  withJson(cipher.command('show').description('show it'))
    .argument('[tenant]')
    .option('-c, --config <file>', 'the config file')
    .addHelpText('after', '\nExample:\n  udm-sync cipher show\n')
    .exitOverride()
    .action(async (tenant: string | undefined, options: GlobalOptions) =>
      exit(await cipherShowCommand(tenant, options)),
    );
  withJson(cipher.command('upload').description('replace it by an X.509 certificate for an RSA key'))
    .argument('<certificate>', 'PEM or DER file')
    .argument('[tenant]')
    .option('-c, --config <file>', 'the config file')
    .addHelpText('after', '\nExample:\n  udm-sync cipher upload export-2026.pem\n')
    .exitOverride()
    .action(async (file: string, tenant: string | undefined, options: GlobalOptions) =>
      exit(await cipherUploadCommand(file, tenant, options)),
    );

  withJson(command('migrate', 'bring the database to this version', 'udm-sync migrate')).action(
    async (options: GlobalOptions) => exit(await migrateCommand(options)),
  );

  const config = program.command('config').description('show the configuration').exitOverride();
  withJson(config.command('print').description('as it is used, secrets masked'))
    .option('-c, --config <file>', 'the config file')
    .addHelpText('after', '\nExample:\n  udm-sync config print\n')
    .exitOverride()
    .action(async (options: GlobalOptions) => exit(await configPrintCommand(options)));
  config
    .command('schema')
    .description('its JSON Schema, for editors')
    .addHelpText('after', '\nExample:\n  udm-sync config schema > udm-sync.schema.json\n')
    .exitOverride()
    .action(() => exit(configSchemaCommand()));

  command(
    'health',
    "whether this container's worker is alive (for exec probes)",
    'udm-sync health --max-age 60s',
  )
    .option('--max-age <duration>', 'how old its last sign of life may be', '60s')
    .addOption(new Option('--health-file <file>').hideHelp())
    .action(async (options: { maxAge: string; healthFile?: string }) => exit(await healthCommand(options)));

  return program;
}
