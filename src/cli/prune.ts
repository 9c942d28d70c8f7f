import { formatDuration } from '../config/duration.ts';
import { UsageError } from '../errors.ts';
import { counted, utc } from '../format.ts';
import { prune, prunePreview, shortestKeepMs } from '../jobs/prune.ts';
import type { PruneReport } from '../jobs/prune.ts';
import { durationOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { print, printJson } from './output.ts';
import { inSession } from './session.ts';
import { onInterrupt } from './signals.ts';

export interface PruneOptions extends GlobalOptions {
  readonly olderThan?: string;
  readonly dryRun?: boolean;
}

/** As long as the records of a year, and then some. */
const usualKeepMs = 400 * 86_400_000;

/** `udm-sync prune`: deletes the details of old runs from Postgres. Their windows still count as done. */
export async function pruneCommand(options: PruneOptions): Promise<number> {
  const asked = options.olderThan === undefined ? undefined : durationOf('--older-than', options.olderThan);
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const shortestMs = shortestKeepMs(config);
  if (asked !== undefined && asked < shortestMs)
    throw new UsageError(
      `--older-than is "${options.olderThan ?? ''}"; it must be at least ${formatDuration(shortestMs)}: the upstream keeps files for ${formatDuration(config.retention.keepForMs)} (retention.keepFor), and their records are needed until they have certainly gone there.`,
    );
  const keepMs = asked ?? config.history.keepMs ?? Math.max(usualKeepMs, shortestMs);
  const dryRun = options.dryRun === true;
  const interrupt = onInterrupt();
  return inSession(config, logger, { working: false }, async ({ pipeline }) => {
    const report = await (dryRun
      ? prunePreview(pipeline, keepMs)
      : prune(pipeline, keepMs, interrupt.signal));
    if (options.json) printJson(reportJson(report, dryRun));
    else printReport(report, dryRun, interrupt.signal.aborted);
    return interrupt.signal.aborted ? exitCodes.interrupted : exitCodes.done;
  }).finally(() => interrupt.dispose());
}

/** The stable contract of `prune --json` (docs/cli.md). */
function reportJson(report: PruneReport, dryRun: boolean): Record<string, unknown> {
  const { before, runs, files, lines, held } = report;
  return { dryRun, before: before.toISOString(), runs, files, historyLines: lines, held };
}

function printReport(report: PruneReport, dryRun: boolean, interrupted: boolean): void {
  const { before, runs, files, lines, held } = report;
  const what =
    `${counted(runs, 'run')} finished before ${utc(before)}: ${counted(files, 'file')} ` +
    `and ${counted(lines, 'line')} of history.`;
  print(`${dryRun ? 'Would prune' : 'Pruned'} ${what}`);
  if (interrupted) print('Interrupted: the rest is left for the next time.');
  else if (held > 0)
    print(
      `Kept the details of ${counted(held, 'run')} as old: the upstream has, or may have, files that belong there.`,
    );
}
