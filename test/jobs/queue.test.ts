import { sql } from 'drizzle-orm';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Claim, StepPayload } from '../../src/queue/queue.ts';
import { LostClaimError, claimMs } from '../../src/queue/queue.ts';
import { fence } from '../../src/jobs/fence.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { settleStep } from '../../src/jobs/settle.ts';
import { rescue } from '../../src/jobs/worker.ts';
import { findRun } from '../../src/store/runs.ts';
import type { Run } from '../../src/store/runs.ts';
import { historyOfRun } from '../../src/store/history.ts';
import { Harness } from './harness.ts';

let harness: Harness;
let pipeline: OpenPipeline;
let run: Run;
beforeEach(async () => {
  harness = await Harness.start();
  pipeline = await harness.pipeline();
  run = await harness.planHour(pipeline);
});
afterEach(() => harness.stop());

interface JobRow extends Record<string, unknown> {
  id: string;
  state: string;
  retry_count: number;
}

const stepJobs = async () => {
  const { rows } = await pipeline.db.execute<JobRow>(
    sql`select id, state::text, retry_count from udm_sync_queue.job where name = 'step' order by created_on`,
  );
  return rows;
};

/** The claim a worker would hold, without a worker that acts on it. */
async function claimStep(): Promise<Claim<StepPayload>> {
  await pipeline.db.execute(
    sql`update udm_sync_queue.job set state = 'active', started_on = now(), heartbeat_on = now() where name = 'step' and state = 'created'`,
  );
  const [row] = (await stepJobs()).filter((job) => job.state === 'active');
  if (!row) throw new Error('no step was waiting');
  return {
    queue: 'step',
    id: row.id,
    retryCount: row.retry_count,
    payload: { runId: run.id },
    signal: new AbortController().signal,
  };
}

describe('settling a step', () => {
  test('commits its effect, its completion and the next step together', async () => {
    const claim = await claimStep();
    await settleStep(pipeline, claim, run, { to: 'exporting', nextMs: 60_000 });
    expect((await findRun(pipeline.db, run.id))?.state).toBe('exporting');
    expect((await stepJobs()).map((job) => job.state)).toEqual(['completed', 'created']);
  });

  test('by a worker that was replaced changes nothing at all', async () => {
    const stale = await claimStep();
    // What the supervisor does to a silent worker's job, and the next worker's claim of it.
    await pipeline.db.execute(
      sql`update udm_sync_queue.job set retry_count = retry_count + 1 where id = ${stale.id}`,
    );
    await expect(settleStep(pipeline, stale, run, { to: 'done' })).rejects.toThrow(LostClaimError);
    expect((await findRun(pipeline.db, run.id))?.state).toBe('planned');
    expect(await historyOfRun(pipeline.db, run.id)).toHaveLength(1);
    expect((await stepJobs()).map((job) => job.state)).toEqual(['active']);
    await settleStep(pipeline, { ...stale, retryCount: stale.retryCount + 1 }, run, { to: 'exporting' });
    expect((await findRun(pipeline.db, run.id))?.state).toBe('exporting');
  });

  test('does not undo what an operator did meanwhile', async () => {
    const claim = await claimStep();
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'cancelled' where id = ${run.id}`);
    await settleStep(pipeline, claim, run, { to: 'stored', nextMs: 0 });
    expect((await findRun(pipeline.db, run.id))?.state).toBe('cancelled');
  });

  test('keeps one step waiting for a run, however often it is sent', async () => {
    for (let times = 0; times < 3; times += 1) await pipeline.queue.sendStep(pipeline.db, run);
    await pipeline.queue.hurry(pipeline.db, run);
    expect(await stepJobs()).toHaveLength(1);
  });
});

test('what cannot be taken back is not sent once another worker may hold the claim', async () => {
  const claim = await claimStep();
  const stillOurs = await fence(pipeline, claim);
  stillOurs();
  const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + claimMs);
  expect(stillOurs).toThrow(LostClaimError);
  clock.mockRestore();
  await pipeline.db.execute(sql`update udm_sync_queue.job set retry_count = retry_count + 1`);
  await expect(fence(pipeline, claim)).rejects.toThrow(LostClaimError);
});

test('the rescue finds a run without a next step, and only that', async () => {
  expect(await rescue(pipeline)).toBe(0);
  await pipeline.db.execute(sql`delete from udm_sync_queue.job`);
  expect(await rescue(pipeline)).toBe(1);
  expect(await rescue(pipeline)).toBe(0);
  await pipeline.db.execute(sql`delete from udm_sync_queue.job`);
  await pipeline.db.execute(sql`update udm_sync.runs set state = 'failed'`);
  expect(await rescue(pipeline)).toBe(0);
});

describe('the database itself refuses', () => {
  const refused = (statement: ReturnType<typeof sql>) =>
    pipeline.db.execute(statement).then(
      () => 'accepted',
      (error: unknown) => String(error instanceof Error ? (error.cause ?? error) : error),
    );
  const insertExport = (attempt: number, state: string) =>
    sql`insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request)
        values (${run.id}, 'demo', ${attempt}, ${`m${attempt}`}, ${state}, '{}')`;

  test('a second live job for a window', async () => {
    expect(await refused(insertExport(1, 'created'))).toBe('accepted');
    expect(await refused(insertExport(2, 'intended'))).toMatch(/exports_one_live_per_run/);
    expect(await refused(insertExport(3, 'failed'))).toBe('accepted');
  });

  test('a file that counts as deleted without having been verified', async () => {
    await pipeline.db.execute(insertExport(1, 'completed'));
    const insertFile = (state: string) =>
      sql`insert into udm_sync.files (run_id, export_id, tenant, name, key, state, expires_at)
          select run_id, id, 'demo', ${state}, 'k', ${state}, now() from udm_sync.exports`;
    expect(await refused(insertFile('waiting'))).toBe('accepted');
    expect(await refused(insertFile('deleted'))).toMatch(/files_verified_is_proven/);
    expect(await refused(sql`update udm_sync.files set deleted_at = now()`)).toMatch(
      /files_deleted_after_verified/,
    );
    expect(await refused(sql`update udm_sync.files set state = 'verified'`)).toMatch(
      /files_verified_is_proven/,
    );
  });

  test('a second run for a window, and two runs in one folder of the sink', async () => {
    const again = sql`insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin)
                      select definition, tenant, sink, window_from, window_to, origin from udm_sync.runs`;
    expect(await refused(again)).toMatch(/runs_definition_window/);
    const other = await harness.planHour(pipeline, 5);
    await pipeline.db.execute(
      sql`update udm_sync.runs set manifest_key = 'a/_manifest.json' where id = ${other.id}`,
    );
    expect(
      await refused(sql`update udm_sync.runs set manifest_key = 'a/_manifest.json' where id = ${run.id}`),
    ).toMatch(/runs_manifest/);
  });
});

test('every table and column says what it is', async () => {
  const { rows } = await pipeline.db.execute(sql`
    select c.relname, a.attname from pg_class c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'udm_sync'
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r'
      and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)`);
  expect(rows).toEqual([]);
});
