import { sql } from 'drizzle-orm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DefinitionConfig } from '../../src/config/config.ts';
import { missingWindows, planBySchedule, planDue, planWindow } from '../../src/jobs/plan.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { listRuns } from '../../src/store/runs.ts';
import { Harness } from './harness.ts';

const hourMs = 3_600_000;
let harness: Harness;
let pipeline: OpenPipeline;
beforeEach(async () => {
  harness = await Harness.start({ definition: { windows: { length: '1h', catchUp: 5 } } });
  pipeline = await harness.pipeline();
});
afterEach(() => harness.stop());

/** The harness's definition, with a start so many whole hours before the current one. */
function definition(change: { hoursBack?: number; catchUp?: number; cron?: string } = {}): DefinitionConfig {
  const base = pipeline.config.definitions['contacts'];
  if (!base) throw new Error('the harness has one definition');
  const { hoursBack, catchUp = 100, cron } = change;
  const start = hoursBack === undefined ? {} : { start: new Date(thisHour().getTime() - hoursBack * hourMs) };
  return {
    ...base,
    windows: { ...base.windows, lagMs, catchUp, ...start },
    ...(cron === undefined ? {} : { schedule: { cron, timeZone: 'UTC' } }),
  };
}

/** A lag that puts the planner's "now" in the middle of an hour, so that no test runs across the end of one. */
const lagMs = (Date.now() - hourMs / 2) % hourMs;
const thisHour = () => new Date(Math.floor((Date.now() - lagMs) / hourMs) * hourMs);

describe('planning', () => {
  test('by many replicas at once makes each window once, each with one next step', async () => {
    const replicas = await Promise.all(Array.from({ length: 4 }, () => harness.pipeline()));
    const wanted = definition({ hoursBack: 20 });
    const planned = await Promise.all([...replicas, ...replicas].map((replica) => planDue(replica, wanted)));
    expect(planned.flat()).toHaveLength(20);
    expect(await listRuns(pipeline.db, { limit: 1000 })).toHaveLength(20);
    const { rows } = await pipeline.db.execute(
      sql`select count(*)::int as n from udm_sync_queue.job where name = 'step'`,
    );
    expect(rows).toEqual([{ n: 20 }]);
    expect(await planDue(pipeline, wanted)).toEqual([]);
  });

  test('keeps no more unfinished runs than catchUp, and goes on where it stopped', async () => {
    const wanted = definition({ hoursBack: 7, catchUp: 3 });
    expect(await planDue(pipeline, wanted)).toHaveLength(3);
    expect(await planDue(pipeline, wanted)).toHaveLength(0);
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'done'`);
    expect(await planDue(pipeline, wanted)).toHaveLength(3);
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'done'`);
    expect(await planDue(pipeline, wanted)).toHaveLength(1);
  });

  test('leaves out what a backfill has done in the middle, and a backfill what a schedule has', async () => {
    const wanted = definition({ hoursBack: 4 });
    const from = new Date(thisHour().getTime() - 3 * hourMs);
    const middle = { from, to: new Date(from.getTime() + 2 * hourMs) };
    expect(await planWindow(pipeline, wanted, middle)).toHaveLength(2);
    expect(await planDue(pipeline, wanted)).toHaveLength(2);
    const whole = { from: new Date(thisHour().getTime() - 6 * hourMs), to: thisHour() };
    expect(await missingWindows(pipeline.db, wanted, whole)).toHaveLength(2);
    expect(await planWindow(pipeline, wanted, middle)).toEqual([]);
  });

  test('with windows of another length covers what is left without an overlap', async () => {
    const wanted = definition({ hoursBack: 5 });
    expect(await planDue(pipeline, wanted)).toHaveLength(5);
    const finer: DefinitionConfig = {
      ...definition({ hoursBack: 8 }),
      windows: { ...definition({ hoursBack: 8 }).windows, lengthMs: hourMs / 2 },
    };
    await planDue(pipeline, finer);
    const runs = (await listRuns(pipeline.db, { limit: 1000 })).reverse();
    for (const [index, run] of runs.entries()) {
      const next = runs[index + 1];
      if (next) expect(next.windowFrom).toEqual(run.windowTo);
    }
    expect(runs[0]?.windowFrom).toEqual(new Date(thisHour().getTime() - 8 * hourMs));
  });
});

test('planning from the middle of a window takes what finer windows cover of it into account', async () => {
  const wanted = definition({ hoursBack: 3 });
  const begin = wanted.windows.start ?? thisHour();
  const third = hourMs / 3;
  const finer: DefinitionConfig = { ...wanted, windows: { ...wanted.windows, lengthMs: third } };
  await planWindow(pipeline, finer, { from: begin, to: new Date(begin.getTime() + third) });
  const start = new Date(begin.getTime() + third);
  await planDue(pipeline, { ...wanted, windows: { ...wanted.windows, start } });
  const runs = (await listRuns(pipeline.db, { limit: 100 })).reverse();
  expect(runs.map((run) => run.windowFrom.getTime() - begin.getTime())).toEqual([
    0,
    third,
    hourMs,
    2 * hourMs,
  ]);
  expect(runs.at(-1)?.windowTo).toEqual(thisHour());
});

describe('a schedule', () => {
  test('owes nothing between its ticks, and makes up for a tick that was missed', async () => {
    // Fires once a year at most: between the first look and the next tick nothing new is owed.
    const wanted = definition({ hoursBack: 3, cron: '0 0 29 2 *' });
    expect(await planBySchedule(pipeline, wanted)).toHaveLength(3);
    await pipeline.db.execute(
      sql`delete from udm_sync.runs where window_from = (select max(window_from) from udm_sync.runs)`,
    );
    await pipeline.db.execute(sql`update udm_sync.schedules set last_tick_at = now() - interval '1 hour'`);
    expect(await planBySchedule(pipeline, wanted)).toEqual([]);
    // The tick came while nobody ran.
    await pipeline.db.execute(sql`update udm_sync.schedules set next_tick_at = now() - interval '1 minute'`);
    expect(await planBySchedule(pipeline, wanted)).toHaveLength(1);
    const { rows } = await pipeline.db.execute(
      sql`select last_tick_at > now() - interval '1 minute' as "fired", next_tick_at > now() as "later" from udm_sync.schedules`,
    );
    expect(rows).toEqual([{ fired: true, later: true }]);
  });

  test('that was changed fires at once', async () => {
    expect(await planBySchedule(pipeline, definition({ hoursBack: 1, cron: '0 0 29 2 *' }))).toHaveLength(1);
    await pipeline.db.execute(sql`update udm_sync.schedules set last_tick_at = now() - interval '3 hours'`);
    expect(await planBySchedule(pipeline, definition({ hoursBack: 2, cron: '0 0 28 2 *' }))).toHaveLength(1);
  });
});
