import { sql } from 'drizzle-orm';
import { describe, expect, test } from 'vitest';
import { readStatus } from '../../src/cli/status.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { missingWindows, planDue } from '../../src/jobs/plan.ts';
import { prune, prunePreview, shortestKeepMs } from '../../src/jobs/prune.ts';
import { reviveRun } from '../../src/jobs/revive.ts';
import { startWorker } from '../../src/jobs/worker.ts';
import { idsOfOurs } from '../../src/store/adoptions.ts';
import { findRun } from '../../src/store/runs.ts';
import type { Run } from '../../src/store/runs.ts';
import { harnessForEachTest } from './harness.ts';
import type { Harness, HarnessOptions } from './harness.ts';

const { begin } = harnessForEachTest();
const keepMs = 100 * 86_400_000;
const never = new AbortController().signal;

/** So many runs that are done, and a worker that has nothing left to do. */
async function doneRuns(hours: number, options?: HarnessOptions) {
  const place = await begin(options);
  const runs: Run[] = [];
  for (let hour = 0; hour < hours; hour += 1) runs.push(await place.harness.planHour(place.pipeline, hour));
  for (const run of runs) await place.harness.until(place.pipeline, run.id, 'done');
  return { ...place, ids: runs.map((run) => run.id) };
}

/** Makes everything that a run left behind so many days older. */
async function age(pipeline: OpenPipeline, runId: number, days = 200): Promise<void> {
  const by = sql`make_interval(days => ${days})`;
  await pipeline.db.execute(
    sql`update udm_sync.runs set finished_at = finished_at - ${by} where id = ${runId}`,
  );
  await pipeline.db.execute(
    sql`update udm_sync.files set expires_at = expires_at - ${by} where run_id = ${runId}`,
  );
}

/** How many rows of its details a run has. */
async function details(pipeline: OpenPipeline, runId: number): Promise<number> {
  const { rows } = await pipeline.db.execute<{ n: string }>(sql`
    select (select count(*) from udm_sync.files where run_id = ${runId})
      + (select count(*) from udm_sync.history where run_id = ${runId}) as n`);
  return Number(rows[0]?.n);
}

const of = (harness: Harness) => {
  const definition = harness.config.definitions['contacts'];
  if (!definition) throw new Error('the harness has one definition');
  return definition;
};

describe('pruning', () => {
  test('deletes the details of old runs that are done, and their windows stay done', async () => {
    const { pipeline, harness, ids } = await doneRuns(3);
    const [first = 0, second = 0, young = 0] = ids;
    for (const id of [first, second]) await age(pipeline, id);
    const definition = of(harness);
    const range = { from: new Date(Date.UTC(2026, 0, 1)), to: new Date(Date.UTC(2026, 0, 1, 3)) };
    const before = await readStatus(pipeline.db, harness.config);
    expect(before.definitions[0]).toMatchObject({ done: 3 });

    const preview = await prunePreview(pipeline, keepMs);
    expect(preview).toMatchObject({ runs: 2, held: 0 });
    expect(preview.files).toBeGreaterThan(0);
    expect(await details(pipeline, first)).toBeGreaterThan(0);
    expect(await prune(pipeline, keepMs, never)).toMatchObject({
      runs: 2,
      files: preview.files,
      lines: preview.lines,
      held: 0,
    });

    expect(await details(pipeline, first)).toBe(0);
    expect(await details(pipeline, second)).toBe(0);
    expect(await details(pipeline, young)).toBeGreaterThan(0);
    const row = await findRun(pipeline.db, first);
    expect(row).toMatchObject({ state: 'done', manifestKey: expect.stringContaining('_manifest.json') });
    expect(row?.prunedAt).toBeInstanceOf(Date);
    expect((await findRun(pipeline.db, young))?.prunedAt).toBeNull();

    const after = await readStatus(pipeline.db, harness.config);
    expect({ ...after, now: 0 }).toEqual({ ...before, now: 0, definitions: after.definitions });
    expect(after.definitions[0]).toEqual({
      ...before.definitions[0],
      lastDoneAt: after.definitions[0]?.lastDoneAt,
    });
    expect(after.definitions[0]?.lastDoneAt).toEqual((await findRun(pipeline.db, young))?.finishedAt);

    // Which jobs were ours is still known, so that nobody adopts them as people's.
    const { rows: made } = await pipeline.db.execute<{ job: string }>(
      sql`select upstream_job_id as job from udm_sync.exports where run_id = ${first}`,
    );
    const job = made[0]?.job ?? '';
    expect(await idsOfOurs(pipeline.db, 'demo', [job])).toContain(job);

    // Nobody takes the windows for missing: the first one that is planned is the one after them.
    expect(await missingWindows(pipeline.db, definition, range)).toEqual([]);
    const { windows } = definition;
    const planned = await planDue(pipeline, {
      ...definition,
      windows: { ...windows, start: range.from, catchUp: 1 },
    });
    expect(planned.map((run) => run.windowFrom)).toEqual([range.to]);

    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 0, files: 0, lines: 0 });
  });

  test('never touches runs that failed, are under way, or have just ended', async () => {
    const { pipeline, ids } = await doneRuns(4);
    const [failed = 0, stored = 0, young = 0, old = 0] = ids;
    for (const id of ids) await age(pipeline, id);
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'failed' where id = ${failed}`);
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'stored' where id = ${stored}`);
    await pipeline.db.execute(
      sql`update udm_sync.runs set finished_at = now() - interval '99 days' where id = ${young}`,
    );
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 1, held: 0 });
    expect(await details(pipeline, old)).toBe(0);
    for (const id of [failed, stored, young]) expect(await details(pipeline, id)).toBeGreaterThan(0);
  });

  test('waits for files that are, or may be, upstream, half uploaded, or of a live job', async () => {
    const { pipeline, ids } = await doneRuns(4);
    const [owed = 0, unexpired = 0, half = 0, live = 0] = ids;
    for (const id of ids) await age(pipeline, id);
    const oneFile = (id: number) => sql`(select min(id) from udm_sync.files where run_id = ${id})`;
    // As when the definition said `delete: nothing` at the time, and does no more.
    await pipeline.db.execute(
      sql`update udm_sync.files set state = 'verified', deleted_at = null where id = ${oneFile(owed)}`,
    );
    await pipeline.db.execute(
      sql`update udm_sync.files set expires_at = now() - interval '9 days' where id = ${oneFile(unexpired)}`,
    );
    await pipeline.db.execute(sql`
      insert into udm_sync.uploads (file_id, sink, upload, part_size, length, source_etag)
      values (${oneFile(half)}, 'gone', '{"key":"k","id":"i","marker":"m","keeps":{"parts":true,"whole":true}}', 1, 1, 'e')`);
    await pipeline.db.execute(sql`update udm_sync.exports set state = 'created' where run_id = ${live}`);
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 0, files: 0, lines: 0, held: 4 });
    for (const id of ids) expect(await details(pipeline, id)).toBeGreaterThan(0);
  });

  test('where the policy leaves files upstream, they hold nothing back once the vendor has deleted them', async () => {
    const { pipeline, ids } = await doneRuns(1, { definition: { delete: 'nothing' } });
    const [run = 0] = ids;
    await age(pipeline, run);
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 1, held: 0 });
  });

  test('files of an earlier attempt are left to the vendor, and hold nothing back', async () => {
    const { pipeline, ids } = await doneRuns(1);
    const [run = 0] = ids;
    await age(pipeline, run);
    await pipeline.db.execute(sql`update udm_sync.exports set attempt = 2 where run_id = ${run}`);
    await pipeline.db.execute(sql`
      with earlier as (
        insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request)
        values (${run}, 'demo', 1, 'earlier', 'completed', '{}') returning id)
      insert into udm_sync.files (run_id, export_id, tenant, name, key, state, size, crc32, proof, verified_at, expires_at)
      select ${run}, id, 'demo', 'n', 'k', 'verified', 1, '00000000', 'size', now(), now() - interval '99 days' from earlier`);
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 1, held: 0 });
  });

  test('a cancelled run can go on afterwards, with a new job, and be pruned again', async () => {
    const { pipeline, harness, ids } = await doneRuns(1);
    const [run = 0] = ids;
    await age(pipeline, run);
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'cancelled' where id = ${run}`);
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 1 });
    expect(await reviveRun(pipeline, run)).toBe('planned');
    expect(await harness.until(pipeline, run, 'done')).toMatchObject({ attempt: 2, prunedAt: null });
    await age(pipeline, run);
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 1 });
  });

  test('an adopted entry cannot: what it made has left the upstream', async () => {
    const { pipeline, ids } = await doneRuns(1);
    const [run = 0] = ids;
    await age(pipeline, run);
    await pipeline.db.execute(
      sql`update udm_sync.runs set state = 'cancelled', origin = 'adopt', adopted_entry = 'e' where id = ${run}`,
    );
    expect(await prune(pipeline, keepMs, never)).toMatchObject({ runs: 1 });
    await expect(reviveRun(pipeline, run)).rejects.toThrow('has left the upstream long ago');
  });

  test('goes on batch by batch, whatever a run has left behind, and several may do it at once', async () => {
    const { pipeline, harness, ids } = await doneRuns(1);
    const [run = 0] = ids;
    await age(pipeline, run);
    await pipeline.db.execute(sql`
      insert into udm_sync.history (run_id, subject, to_state, who)
      select ${run}, 'run', 'done', 'test' from generate_series(1, 45000)`);
    // Enough runs for several batches.
    await pipeline.db.execute(sql`
      insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, finished_at)
      select 'other', 'demo', 'disk', now() - make_interval(hours => n + 5000), now() - make_interval(hours => n + 4999), 'schedule',
        'done', now() - make_interval(hours => n + 4999)
      from generate_series(1, 230) n`);
    const other = await harness.pipeline();
    const reports = await Promise.all([prune(pipeline, keepMs, never), prune(other, keepMs, never)]);
    expect(reports.reduce((sum, report) => sum + report.runs, 0)).toBe(231);
    expect(reports.reduce((sum, report) => sum + report.lines, 0)).toBeGreaterThan(45_000);
    expect(await details(pipeline, run)).toBe(0);
  });

  test('stops between batches', async () => {
    const { pipeline, ids } = await doneRuns(1);
    await age(pipeline, ids[0] ?? 0);
    expect(await prune(pipeline, keepMs, AbortSignal.abort())).toMatchObject({ runs: 0, held: 1 });
  });

  test('refuses to forget what the upstream may still have', async () => {
    const { pipeline } = await doneRuns(0);
    const shortest = shortestKeepMs(pipeline.config);
    expect(shortest).toBe(40 * 86_400_000);
    const { retention } = pipeline.config;
    expect(shortestKeepMs({ retention: { ...retention, keepForMs: 60 * 86_400_000 } })).toBe(70 * 86_400_000);
    await expect(prune(pipeline, shortest - 1, never)).rejects.toThrow('less than details must be kept');
  });
});

test('a worker told how long to keep history prunes by itself; one that is not, keeps it', async () => {
  const { pipeline, harness, ids } = await doneRuns(1);
  const [run = 0] = ids;
  await age(pipeline, run);
  const other = await harness.pipeline();
  const keeping = await startWorker(other, { schedules: [], tickMs: 50 });
  await keeping.stop(0);
  expect(await details(pipeline, run)).toBeGreaterThan(0);
  const third = await harness.pipeline();
  const worker = await startWorker(third, { schedules: [], tickMs: 50, keepHistoryMs: keepMs });
  await expect.poll(() => details(pipeline, run), { timeout: 30_000 }).toBe(0);
  await worker.stop(0);
});
