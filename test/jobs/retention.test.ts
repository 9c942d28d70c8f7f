import { Writable } from 'node:stream';
import { sql } from 'drizzle-orm';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { PipelineEvent } from '../../src/jobs/context.ts';
import { queueTransfers } from '../../src/jobs/collect.ts';
import { expiryBounds, raiseExpiring } from '../../src/jobs/expiry.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { reviveRun } from '../../src/jobs/revive.ts';
import { databaseNow, transact } from '../../src/store/database.ts';
import { expirySummaryOf } from '../../src/store/expiry.ts';
import { findRun } from '../../src/store/runs.ts';
import { harnessForEachTest } from './harness.ts';
import type { Harness } from './harness.ts';

const { begin, start } = harnessForEachTest();
const day = 86_400_000;

/** A logger whose lines can be read. */
function readable() {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  return { lines, logger: pino({ level: 'info', formatters: { level: (level) => ({ level }) } }, stream) };
}

/** Everything a pipeline tells from now on. */
function told(pipeline: OpenPipeline): PipelineEvent[] {
  const events: PipelineEvent[] = [];
  pipeline.events.on('event', (event) => events.push(event));
  return events;
}

/** Lets the upstream give out no file, alone or in a list, until the fault is removed. */
const holdFiles = (harness: Harness) =>
  harness.simulator.faults.add({ endpoint: /GET \/v10\/files/, kind: 'status', status: 503 });

const expireIn = (pipeline: OpenPipeline, name: string, ms: number) =>
  pipeline.db.execute(
    sql`update udm_sync.files set expires_at = clock_timestamp() + ${ms / 1000} * interval '1 second' where name = ${name}`,
  );

const openJobs = async (pipeline: OpenPipeline) => {
  const { rows } = await pipeline.db.execute<{ n: number }>(
    sql`select count(*)::int as n from udm_sync_queue.job where state < 'completed'`,
  );
  return rows[0]?.n;
};

describe('a file that is not safe as its time upstream runs out', () => {
  test('is spoken of once for each run and level, by whichever worker is first', async () => {
    const names = ['late.zip', 'soon.zip', 'fine.zip', 'safe.zip'];
    const harness = await start({
      simulator: { filesFor: () => names.map((name) => ({ name, size: 1000 })) },
    });
    const { simulator } = harness;
    simulator.faults.add({
      endpoint: /GET \/s3\/(late|soon|fine)/,
      kind: 'status',
      status: 503,
    });
    const worker = await harness.worker();
    const run = await harness.planHour(worker.pipeline);
    await expect
      .poll(async () => (await harness.story(worker.pipeline, run.id)).files.map((file) => file.state), {
        timeout: 30_000,
      })
      .toContain('verified');
    await worker.stop();
    const [one, two] = [await harness.pipeline(), await harness.pipeline()];
    await expireIn(one, 'late.zip', 9 * day);
    await expireIn(one, 'soon.zip', 2 * day);
    await expireIn(one, 'safe.zip', 1 * day);

    const { lines, logger } = readable();
    const events = [told(one), told(two)];
    const raise = () =>
      Promise.all([one, two, one, two].map((pipeline) => raiseExpiring({ ...pipeline, logger })));
    await raise();
    await raise();
    const byLevel = (key: 'level' | 'expiry') => (a: object, b: object) =>
      String(Reflect.get(a, key)).localeCompare(String(Reflect.get(b, key)));
    expect(events.flat().sort(byLevel('level'))).toEqual([
      expect.objectContaining({ kind: 'expiry', level: 'critical', files: 1, bytes: 1000 }),
      expect.objectContaining({ kind: 'expiry', level: 'warning', files: 1, bytes: 1000 }),
    ]);
    expect(lines.sort(byLevel('expiry'))).toEqual([
      expect.objectContaining({ level: 'error', tenant: 'demo', run: run.id, expiry: 'critical', files: 1 }),
      expect.objectContaining({ level: 'warn', tenant: 'demo', run: run.id, expiry: 'warning', files: 1 }),
    ]);
    for (const line of lines) expect(Date.parse(String(line['soonestExpiry']))).toBeGreaterThan(Date.now());
    const now = await databaseNow(one.db);
    const bounds = expiryBounds(one.config.retention, now);
    expect(await expirySummaryOf(one.db, bounds)).toMatchObject({ critical: 1, warning: 1 });

    // Time goes on: what was a warning becomes critical, and is told once more.
    await expireIn(one, 'late.zip', 3 * day - 1000);
    await raise();
    expect(events.flat()).toHaveLength(3);
    expect(await expirySummaryOf(one.db, bounds)).toMatchObject({ critical: 2, warning: 0 });
    const { lines: story } = await harness.story(one, run.id);
    expect(
      story.flatMap((line) => /^(warning|critical): /.exec(line.reason ?? '')?.[1] ?? []).sort(),
    ).toEqual(['critical', 'critical', 'warning']);

    // Once the run is cancelled, nobody waits for its files.
    await one.db.execute(sql`update udm_sync.runs set state = 'cancelled' where id = ${run.id}`);
    expect(await expirySummaryOf(one.db, bounds)).toEqual({ critical: 0, warning: 0, soonest: null });
  });

  test('is spoken of by a worker, without being asked', async () => {
    const { harness, pipeline } = await begin({
      simulator: { filesFor: () => [{ name: 'a.zip', size: 1000 }] },
    });
    const events = told(pipeline);
    const hold = holdFiles(harness);
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'transferring');
    await expireIn(pipeline, 'a.zip', day);
    await expect
      .poll(() => events.filter((event) => event.kind === 'expiry'), { timeout: 20_000 })
      .toHaveLength(1);
    hold.remove();
    await harness.until(pipeline, run.id, 'done');
    expect(events.filter((event) => event.kind === 'expiry')).toHaveLength(1);
  });

  test('goes first, also before what was queued weeks ago', async () => {
    const harness = await start({
      simulator: { filesFor: (job) => [{ name: `${job.title.slice(9, 33)}.zip`, size: 1000 }] },
      worker: { transfers: 1 },
      tenantLimits: { transfers: 1 },
    });
    const hold = holdFiles(harness);
    const worker = await harness.worker();
    const runs = [];
    for (const hour of [0, 1, 2]) {
      const run = await harness.planHour(worker.pipeline, hour);
      await harness.until(worker.pipeline, run.id, 'transferring');
      runs.push(run.id);
    }
    await worker.stop();
    hold.remove();
    const pipeline = await harness.pipeline();
    const { db } = pipeline;
    await db.execute(sql`delete from udm_sync_queue.job`);
    await db.execute(sql`update udm_sync.files set state = 'waiting', claim = null`);
    // Queued in this order; they expire in another.
    const names: string[] = [];
    for (const [index, days] of [20, 5, 12].entries()) {
      const run = await findRun(db, runs[index] ?? 0);
      const { files } = await harness.story(pipeline, run?.id ?? 0);
      names.push(...files.map((file) => file.name));
      const expiresAt = new Date(Date.now() + days * day);
      const queued = files.map(({ id, announcedSize }) => ({ id, announcedSize, expiresAt }));
      if (run) await transact(db, (tx) => queueTransfers(pipeline, tx, run, queued, new Date()));
    }
    const seen = harness.simulator.requests.length;
    const again = await harness.worker();
    for (const id of runs) await harness.until(again.pipeline, id, 'done');
    const asked = harness.simulator.requests
      .slice(seen)
      .filter(({ method, path }) => method === 'GET' && /\/v10\/files\//.test(path))
      .map(({ path }) => decodeURIComponent(path.split('/').at(-1) ?? ''));
    expect(asked).toEqual([names[1], names[2], names[0]]);
  });

  test('that is over, is taken all the same while the file is there', async () => {
    const { harness, pipeline } = await begin({
      simulator: { startAt: Date.now() - 40 * day, fileLifetime: 90 * day },
    });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { files } = await harness.story(pipeline, run.id);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      expect(file.state).toBe('deleted');
      expect(file.expiresAt.getTime()).toBeLessThan(Date.now() - 5 * day);
    }
  });
});

describe('what the upstream deleted before we had it', () => {
  test('each file of a run is lost for good, said loudly, and not asked for again', async () => {
    const names = ['a.zip', 'b.zip', 'c.zip'];
    const { harness, pipeline } = await begin({
      simulator: { filesFor: () => names.map((name) => ({ name, size: 1000 })) },
    });
    const events = told(pipeline);
    const hold = holdFiles(harness);
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'transferring');
    await pipeline.upstream('demo').deleteFiles(names);
    hold.remove();
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/3 of 3 files could not be stored \(0 dead, 3 lost\)/);
    const { files } = await harness.story(pipeline, run.id);
    expect(files.map((file) => file.state)).toEqual(['lost', 'lost', 'lost']);
    expect(events.filter((event) => event.kind === 'file' && event.state === 'lost')).toHaveLength(3);
    expect(await openJobs(pipeline)).toBe(0);
    expect(harness.jobs()).toHaveLength(1);
    // What it takes to try again is an operator.
    await reviveRun(pipeline, run.id);
    const done = await harness.until(pipeline, run.id, 'done');
    expect(done.attempt).toBe(2);
  });

  test('with its history entry, before it was listed: the run has failed, and is no empty one', async () => {
    const { harness, simulator, pipeline } = await begin();
    const hold = simulator.faults.add({ endpoint: 'GET /v10/file-metadatas', kind: 'status', status: 503 });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'collecting');
    const { last } = await harness.story(pipeline, run.id);
    await pipeline.upstream('demo').deleteHistory(last?.upstreamHistoryId ?? '');
    await pipeline.upstream('demo').deleteJob(last?.upstreamJobId ?? '');
    hold.remove();
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/no longer has the history entry.*udm-sync retry/);
    expect((await harness.story(pipeline, run.id)).last?.state).toBe('vanished');
    expect(await openJobs(pipeline)).toBe(0);
    expect(harness.jobs()).toHaveLength(1);
    await reviveRun(pipeline, run.id);
    await harness.until(pipeline, run.id, 'done');
    expect(harness.jobs()).toHaveLength(2);
  });

  test('by its 30 days, before it was listed: an export that old and without files is not believed either', async () => {
    const { harness, pipeline } = await begin({
      simulator: { startAt: Date.now() - 31 * day, filesFor: () => [] },
    });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/lists no files any more.*udm-sync retry/);
    expect(await openJobs(pipeline)).toBe(0);
    expect(harness.jobs()).toHaveLength(1);
  });

  test('is an error in the log, and so is the run that failed by it', async () => {
    const harness = await start({ simulator: { filesFor: () => [{ name: 'gone.zip', size: 10 }] } });
    harness.simulator.faults.add({ endpoint: 'GET /v10/files/{filename}', kind: 'status', status: 404 });
    const { lines, logger } = readable();
    const { pipeline } = await harness.worker(harness.config, logger);
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'failed');
    expect(lines.filter((line) => line['level'] === 'error')).toEqual([
      expect.objectContaining({
        file: 'gone.zip',
        state: 'lost',
        msg: expect.stringMatching(/^file lost/) as unknown,
      }),
      expect.objectContaining({
        to: 'failed',
        msg: 'run failed',
        reason: expect.stringMatching(/1 lost/) as unknown,
      }),
    ]);
  });
});
