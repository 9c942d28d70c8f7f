import { missingWindows } from '../jobs/plan.ts';
import { horizon } from '../jobs/windows.ts';
import { databaseNow } from '../store/database.ts';
import { listRuns, scheduledStretch } from '../store/runs.ts';
import { listSchedules } from '../store/schedules.ts';
import { definitionStatuses, filesAtRisk } from '../store/status.ts';
import { exitCodes } from './exit-codes.ts';
import { humanBytes, humanDuration, print, printJson, table, utc } from './output.ts';
import { printRuns, runJson } from './report.ts';
import { openConfig, openSession } from './session.ts';
import type { GlobalOptions } from './session.ts';

/** `udm-sync status`: is my data safe? What is missing, what is at risk, what is being done. */
export async function statusCommand(options: GlobalOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const session = await openSession(config, logger, { working: false });
  try {
    const { db } = session.pipeline;
    const now = await databaseNow(db);
    const statuses = new Map((await definitionStatuses(db)).map((status) => [status.definition, status]));
    const schedules = new Map((await listSchedules(db)).map((schedule) => [schedule.definition, schedule]));
    const definitions = await Promise.all(
      Object.values(config.definitions).map(async (definition) => {
        const { lengthMs, lagMs, start } = definition.windows;
        const stretch = await scheduledStretch(db, definition.name);
        const from = start ?? stretch?.from;
        const to = horizon(now, lengthMs, lagMs);
        const missing = from && from < to ? (await missingWindows(db, definition, { from, to })).length : 0;
        const status = statuses.get(definition.name);
        return {
          definition: definition.name,
          done: status?.done ?? 0,
          unfinished: status?.unfinished ?? 0,
          failed: status?.failed ?? 0,
          cancelled: status?.cancelled ?? 0,
          missing,
          doneUntil: status?.doneUntil ?? null,
          lastDoneAt: status?.lastDoneAt ?? null,
          nextTickAt: definition.schedule ? (schedules.get(definition.name)?.nextTickAt ?? null) : null,
        };
      }),
    );
    const risk = await filesAtRisk(db);
    const failed = await listRuns(db, { states: ['failed'], limit: 10 });
    if (options.json) {
      printJson({
        now: now.toISOString(),
        definitions,
        files: {
          waiting: risk.waiting,
          waitingBytes: risk.bytes,
          dead: risk.dead,
          lost: risk.lost,
          soonestExpiry: risk.soonest,
        },
        failed: failed.map(runJson),
      });
      return exitCodes.done;
    }
    const sum = (pick: (row: (typeof definitions)[number]) => number) =>
      definitions.reduce((total, row) => total + pick(row), 0);
    print(
      verdict(
        sum((d) => d.failed),
        sum((d) => d.unfinished),
        sum((d) => d.missing),
        risk.lost,
      ),
    );
    print();
    print(
      table(
        [
          'DEFINITION',
          'DONE',
          'UNDER WAY',
          'NOT PLANNED',
          'FAILED',
          'DONE UNTIL (UTC)',
          'LAST SUCCESS (UTC)',
          'NEXT TICK (UTC)',
        ],
        definitions.map((d) => [
          d.definition,
          String(d.done),
          String(d.unfinished),
          String(d.missing),
          String(d.failed),
          utc(d.doneUntil),
          utc(d.lastDoneAt),
          utc(d.nextTickAt),
        ]),
      ),
    );
    print();
    const soonest = risk.soonest
      ? `; the first is deleted by the vendor in ${humanDuration(risk.soonest.getTime() - now.getTime())}`
      : '';
    print(
      `Files not yet safe: ${risk.waiting} waiting (${humanBytes(risk.bytes)}), ${risk.dead} dead${soonest}. Lost: ${risk.lost}.`,
    );
    if (failed.length > 0) {
      print();
      printRuns(failed);
      print('\nSee why with: udm-sync run-history <run>   Try again with: udm-sync retry <run>');
    }
    return exitCodes.done;
  } finally {
    await session.close();
  }
}

function verdict(failed: number, unfinished: number, missing: number, lost: number): string {
  if (lost > 0) return `NOT SAFE: the vendor deleted ${lost} files before they were copied.`;
  if (failed > 0) return `AT RISK: ${failed} windows have failed and wait for somebody to retry them.`;
  if (unfinished + missing > 0)
    return `Safe so far: ${unfinished} windows are under way, ${missing} not planned yet.`;
  return 'Safe: every window that is due is verified in the sink.';
}
