import type { Config, DefinitionConfig } from '../config/config.ts';
import { missingWindows } from '../jobs/plan.ts';
import { expiryBounds } from '../jobs/expiry.ts';
import { horizon } from '../jobs/windows.ts';
import { databaseNow } from '../store/database.ts';
import type { Database } from '../store/database.ts';
import { expirySummaryOf } from '../store/expiry.ts';
import type { ExpirySummary } from '../store/expiry.ts';
import { listRuns, scheduledStretch, unfinishedStates } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { listSchedules } from '../store/schedules.ts';
import { definitionStatuses, filesAtRisk } from '../store/status.ts';
import type { FilesAtRisk } from '../store/status.ts';
import { exitCodes } from './exit-codes.ts';
import { counted, humanBytes, humanDuration, print, printJson, table, utc } from './output.ts';
import { printRuns, runJson } from './report.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';

/** How one definition stands. */
interface Standing {
  readonly definition: string;
  /** False: it has runs, but the config no longer has it. */
  readonly configured: boolean;
  readonly done: number;
  readonly unfinished: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Windows that are due and not planned yet. */
  readonly missing: number;
  readonly doneUntil: Date | null;
  readonly lastDoneAt: Date | null;
  readonly nextTickAt: Date | null;
}

interface Status {
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

/** `udm-sync status`: is my data safe? What is missing, what is at risk, what is being done. */
export async function statusCommand(options: GlobalOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const status = await inSession(config, logger, { working: false }, ({ pipeline }) =>
    readStatus(pipeline.db, config),
  );
  if (options.json) printJson(statusJson(status));
  else printStatus(status);
  return exitCodes.done;
}

async function readStatus(db: Database, config: Config): Promise<Status> {
  const configured = Object.values(config.definitions);
  const now = await databaseNow(db);
  const counts = new Map((await definitionStatuses(db)).map((status) => [status.definition, status]));
  const ticks = new Map((await listSchedules(db)).map((tick) => [tick.definition, tick.nextTickAt]));
  const names = new Set([...configured.map((definition) => definition.name), ...counts.keys()]);
  const definitions: Standing[] = [];
  for (const name of names) {
    const definition = configured.find((known) => known.name === name);
    const known = counts.get(name);
    definitions.push({
      definition: name,
      configured: definition !== undefined,
      done: known?.done ?? 0,
      unfinished: known?.unfinished ?? 0,
      failed: known?.failed ?? 0,
      cancelled: known?.cancelled ?? 0,
      missing: definition ? await countMissing(db, definition, now) : 0,
      doneUntil: known?.doneUntil ?? null,
      lastDoneAt: known?.lastDoneAt ?? null,
      nextTickAt: definition?.schedule ? (ticks.get(name) ?? null) : null,
    });
  }
  const unfinished = await listRuns(db, { states: unfinishedStates, limit: 10_000 });
  return {
    now,
    definitions,
    files: await filesAtRisk(db),
    expiry: await expirySummaryOf(db, expiryBounds(config.retention, now)),
    failed: await listRuns(db, { states: ['failed'], limit: shownRuns }),
    struggling: unfinished.filter((run) => run.stepFailures > 0).slice(0, shownRuns),
  };
}

async function countMissing(db: Database, definition: DefinitionConfig, now: Date): Promise<number> {
  const { lengthMs, lagMs, start } = definition.windows;
  const from = start ?? (await scheduledStretch(db, definition.name))?.from;
  const to = horizon(now, lengthMs, lagMs);
  return from && from < to ? (await missingWindows(db, definition, { from, to })).length : 0;
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
  print(verdictOf(definitions, files, expiry).sentence);
  print();
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

function verdictOf(
  definitions: readonly Standing[],
  files: FilesAtRisk,
  expiry: ExpirySummary,
): { word: string; sentence: string } {
  const sum = (pick: (row: Standing) => number) => definitions.reduce((total, row) => total + pick(row), 0);
  const failed = sum((d) => d.failed);
  const unfinished = sum((d) => d.unfinished);
  const missing = sum((d) => d.missing);
  const cancelled = sum((d) => d.cancelled);
  if (files.lost > 0)
    return {
      word: 'lost',
      sentence: `NOT SAFE: the vendor deleted ${counted(files.lost, 'file')} before they were copied.`,
    };
  if (expiry.critical > 0)
    return {
      word: 'at-risk',
      sentence: `AT RISK: the vendor deletes ${counted(expiry.critical, 'file')} soon, the first at ${utc(expiry.soonest)}, before they are safe.`,
    };
  if (failed > 0)
    return {
      word: 'at-risk',
      sentence: `AT RISK: ${counted(failed, 'window')} failed; somebody must look and retry.`,
    };
  if (unfinished + missing > 0)
    return {
      word: 'under-way',
      sentence: `Safe so far: ${counted(unfinished, 'window')} under way, ${missing} not planned yet.`,
    };
  if (cancelled > 0)
    return {
      word: 'safe',
      sentence: `Safe, but for ${counted(cancelled, 'window')} that somebody cancelled: all others that are due are verified in the sink.`,
    };
  return definitions.some((d) => d.done > 0)
    ? { word: 'safe', sentence: 'Safe: every window that is due is verified in the sink.' }
    : { word: 'idle', sentence: 'Nothing has been exported yet, and nothing is due.' };
}
