import type { Config } from '../config/config.ts';
import { counted } from '../format.ts';
import { expiryBounds } from '../jobs/expiry.ts';
import { readStandings, verdictOf } from '../jobs/standing.ts';
import type { Standing } from '../jobs/standing.ts';
import { databaseError, databaseNow } from '../store/database.ts';
import type { Database } from '../store/database.ts';
import { printable } from '../printable.ts';
import { expirySummaryOf } from '../store/expiry.ts';
import type { ExpirySummary } from '../store/expiry.ts';
import { listRuns, strugglingRuns } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { filesAtRisk } from '../store/status.ts';
import type { FilesAtRisk } from '../store/status.ts';
import { exitCodes } from './exit-codes.ts';
import { tinted } from './colour.ts';
import { explain, humanBytes, humanDuration, print, printJson, printJsonLine, table, utc } from './output.ts';
import { printRuns, runJson } from './report.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';
import { onInterrupt } from './signals.ts';
import { repeatedly, watchInterval } from './watch.ts';

export interface Status {
  readonly now: Date;
  readonly definitions: readonly Standing[];
  readonly files: FilesAtRisk;
  readonly expiry: ExpirySummary;
  /** The newest failed runs. */
  readonly failed: readonly Run[];
  /** Runs whose last step did not succeed and is tried again. */
  readonly struggling: readonly Run[];
}

const shownRuns = 10;

const tones = { safe: 'good', idle: 'good', 'under-way': 'busy', 'at-risk': 'warn', lost: 'bad' } as const;

export interface StatusOptions extends GlobalOptions {
  /** Show it again at this interval; true: at the usual one. */
  readonly watch?: string | boolean;
}

/** `udm-sync status`: is my data safe? What is missing, what is at risk, what is being done. */
export async function statusCommand(options: StatusOptions): Promise<number> {
  const intervalMs = watchInterval(options.watch);
  if (intervalMs !== undefined) return watchStatus(options, intervalMs);
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const status = await inSession(config, logger, { working: false }, ({ pipeline }) =>
    readStatus(pipeline.db, config),
  );
  if (options.json) printJson(statusJson(status));
  else printStatus(status);
  return exitCodes.done;
}

/** The same again and again, until SIGINT or SIGTERM. A Postgres that is away for a while does not end it. */
async function watchStatus(options: StatusOptions, intervalMs: number): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'fatal' });
  const interrupt = onInterrupt();
  try {
    await inSession(config, logger, { working: false }, ({ pipeline, url }) =>
      repeatedly(intervalMs, interrupt.signal, async (first) => {
        try {
          const status = await readStatus(pipeline.db, config);
          if (options.json) printJsonLine(statusJson(status));
          else {
            if (!first && !process.stdout.isTTY) print();
            print(utc(status.now));
            printStatus(status);
          }
        } catch (error) {
          process.stderr.write(`udm-sync: ${printable(explain(databaseError(url, error)))}\n`);
        }
      }),
    );
  } finally {
    interrupt.dispose();
  }
  return exitCodes.interrupted;
}

/** Everything that `status` shows. */
export async function readStatus(db: Database, config: Config): Promise<Status> {
  const configured = Object.values(config.definitions);
  const now = await databaseNow(db);
  return {
    now,
    definitions: await readStandings(db, configured, now),
    files: await filesAtRisk(db),
    expiry: await expirySummaryOf(db, expiryBounds(config.retention, now)),
    failed: await listRuns(db, { states: ['failed'], limit: shownRuns }),
    struggling: await strugglingRuns(db, shownRuns),
  };
}

/** The stable contract of `status --json` (docs/cli.md). */
function statusJson({
  now,
  definitions,
  files,
  expiry,
  failed,
  struggling,
}: Status): Record<string, unknown> {
  return {
    now: now.toISOString(),
    verdict: verdictOf(definitions, files, expiry).word,
    definitions,
    files: {
      waiting: files.waiting,
      waitingBytes: files.bytes,
      dead: files.dead,
      lost: files.lost,
      soonestExpiry: files.soonest,
    },
    atRisk: { critical: expiry.critical, warning: expiry.warning, soonestExpiry: expiry.soonest },
    failed: failed.map(runJson),
    struggling: struggling.map(runJson),
  };
}

function printStatus({ now, definitions, files, expiry, failed, struggling }: Status): void {
  const verdict = verdictOf(definitions, files, expiry);
  // Not through print, which would show the colour's escape sequence instead of obeying it.
  process.stdout.write(`${tinted(tones[verdict.word], verdict.sentence)}\n\n`);
  print(
    table(
      [
        'DEFINITION',
        'DONE',
        'UNDER WAY',
        'NOT PLANNED',
        'FAILED',
        'CANCELLED',
        'DONE UNTIL (UTC)',
        'LAST SUCCESS (UTC)',
        'NEXT TICK (UTC)',
      ],
      definitions.map((d) => [
        d.configured ? d.definition : `${d.definition} (not in the config)`,
        String(d.done),
        String(d.unfinished),
        String(d.missing),
        String(d.failed),
        String(d.cancelled),
        utc(d.doneUntil),
        utc(d.lastDoneAt),
        utc(d.nextTickAt),
      ]),
    ),
  );
  for (const { definition, adopts } of definitions) {
    if (!adopts) continue;
    const seen =
      adopts.reason === null
        ? `${adopts.matched} seen at ${utc(adopts.lastLookAt)}, of which ${adopts.inProgress} in progress`
        : `could not be looked at: ${adopts.reason}`;
    print(`\n${definition} adopts the entries of "${adopts.title}": ${printable(seen)}.`);
  }
  print();
  const soonest = files.soonest
    ? `; the vendor deletes the first of them in ${humanDuration(files.soonest.getTime() - now.getTime())}`
    : '';
  print(
    `Files not yet safe: ${files.waiting} waiting (${humanBytes(files.bytes)}), ${files.dead} dead${soonest}. Lost: ${files.lost}.`,
  );
  if (expiry.soonest)
    print(
      `At risk: ${counted(expiry.critical, 'file')} critical, ${expiry.warning} warned of; the vendor deletes the first at ${utc(expiry.soonest)}.`,
    );
  if (struggling.length > 0) {
    print('\nTried again until it works, because of what is around them:');
    printRuns(struggling);
  }
  if (failed.length > 0) {
    print('\nFailed:');
    printRuns(failed);
    print('\nSee why with: udm-sync run-history <run>   Try again with: udm-sync retry <run>');
  }
}
