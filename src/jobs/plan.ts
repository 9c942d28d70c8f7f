import type { DefinitionConfig } from '../config/config.ts';
import { nextRunAfter } from '../config/cron.ts';
import { reached } from '../crash-points.ts';
import { uncovered } from '../store/coverage.ts';
import { databaseNow, lockFor, transact } from '../store/database.ts';
import type { Executor, Transaction } from '../store/database.ts';
import { countUnfinished, insertRuns, scheduledStretch } from '../store/runs.ts';
import type { NewRun, Run } from '../store/runs.ts';
import { findSchedule, noteTick } from '../store/schedules.ts';
import type { Pipeline } from './context.ts';
import { logFields } from './settle.ts';
import { cut, dueWindows, floorToGrid, horizon, subtract } from './windows.ts';
import type { Window } from './windows.ts';

/**
 * What a cron tick, a start-up and each minute do: plans what the definition's schedule owes.
 *
 * A window is owed once it was complete at a time the schedule fired. When it last fired and fires next is kept in
 * Postgres, so a tick that came while no worker ran is made up for. Any number of replicas may call this at any time.
 */
export async function planBySchedule(pipeline: Pipeline, definition: DefinitionConfig): Promise<Run[]> {
  const { schedule } = definition;
  if (!schedule) return [];
  const tick = { fired: false };
  const runs = await planned(pipeline, definition, async (tx, now) => {
    const known = await findSchedule(tx, definition.name);
    const same = known?.cron === schedule.cron && known.timeZone === schedule.timeZone;
    if (same && known.nextTickAt > now) return known.lastTickAt;
    tick.fired = true;
    await noteTick(tx, {
      definition: definition.name,
      ...schedule,
      lastTickAt: now,
      nextTickAt: nextRunAfter(schedule.cron, schedule.timeZone, now),
    });
    return now;
  });
  if (tick.fired) {
    pipeline.logger.info({ definition: definition.name, planned: runs.length }, 'schedule fired');
    pipeline.events.emit('event', { kind: 'tick', definition: definition.name, planned: runs.length });
  }
  return runs;
}

/** Plans every window that is complete now, whatever the schedule says: for `udm-sync run`. */
export function planDue(pipeline: Pipeline, definition: DefinitionConfig): Promise<Run[]> {
  return planned(pipeline, definition, (_tx, now) => Promise.resolve(now));
}

/** At most `windows.catchUp` runs of a definition are unfinished at a time; `asOf` says until when windows are owed. */
async function planned(
  pipeline: Pipeline,
  definition: DefinitionConfig,
  asOf: (tx: Transaction, now: Date) => Promise<Date>,
): Promise<Run[]> {
  const runs = await transact(pipeline.db, async (tx) => {
    await lockFor(tx, `plan:${definition.name}`);
    const now = await asOf(tx, await databaseNow(tx));
    const { lengthMs, lagMs, start, catchUp } = definition.windows;
    const limit = catchUp - (await countUnfinished(tx, definition.name));
    if (limit <= 0) return [];
    const scheduled = await scheduledStretch(tx, definition.name);
    const covered = await coveredOutside(tx, definition, scheduled, now);
    const due = dueWindows({ now, lengthMs, lagMs, start, scheduled, covered, limit });
    const added = await insertWindows(pipeline, tx, definition, due, 'schedule');
    reached('before:plan');
    return added;
  });
  reached('after:plan');
  for (const run of runs) announce(pipeline, run);
  return runs;
}

/** What runs cover outside the stretch that schedules have planned: by backfill, or by windows of another length. */
async function coveredOutside(
  tx: Transaction,
  { name, windows: { lengthMs, lagMs, start } }: DefinitionConfig,
  scheduled: Window | undefined,
  now: Date,
): Promise<Window[]> {
  const end = horizon(now, lengthMs, lagMs);
  const begin = start && floorToGrid(start, lengthMs);
  const newest = scheduled?.to ?? begin ?? new Date(end.getTime() - lengthMs);
  const ranges = [{ from: newest, to: end }];
  if (scheduled && begin) ranges.push({ from: begin, to: scheduled.from });
  const covered: Window[] = [];
  for (const range of ranges)
    if (range.from < range.to) covered.push(...subtract(range, await uncovered(tx, name, range)));
  return covered;
}

/** The windows of `range` that no run of the definition covers yet. */
export async function missingWindows(
  db: Executor,
  definition: DefinitionConfig,
  range: Window,
): Promise<Window[]> {
  const gaps = await uncovered(db, definition.name, range);
  return gaps.flatMap((gap) => cut(gap, definition.windows.lengthMs));
}

/** Plans what of a range no run covers yet, by hand (backfill); nothing when somebody else has planned it meanwhile. */
export async function planWindow(
  pipeline: Pipeline,
  definition: DefinitionConfig,
  window: Window,
): Promise<Run[]> {
  const runs = await transact(pipeline.db, async (tx) => {
    await lockFor(tx, `plan:${definition.name}`);
    const missing = await missingWindows(tx, definition, window);
    const added = await insertWindows(pipeline, tx, definition, missing, 'backfill');
    reached('before:plan');
    return added;
  });
  reached('after:plan');
  for (const run of runs) announce(pipeline, run);
  return runs;
}

async function insertWindows(
  pipeline: Pipeline,
  tx: Transaction,
  definition: DefinitionConfig,
  windows: readonly Window[],
  origin: NewRun['origin'],
): Promise<Run[]> {
  const runs = await insertRuns(
    tx,
    windows.map(({ from, to }) => ({
      definition: definition.name,
      tenant: definition.tenant,
      sink: definition.sink,
      windowFrom: from,
      windowTo: to,
      origin,
    })),
    pipeline.who,
  );
  for (const run of runs) await pipeline.queue.sendStep(tx, run);
  return runs;
}

function announce(pipeline: Pipeline, run: Run): void {
  pipeline.events.emit('event', { kind: 'planned', run });
  const window = `${run.windowFrom.toISOString()}/${run.windowTo.toISOString()}`;
  pipeline.logger.info(logFields(run, { window, origin: run.origin }), 'run planned');
}
