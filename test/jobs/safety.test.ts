import { readFile, readdir } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { describe, expect, test } from 'vitest';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { requestCancel, reviveRun } from '../../src/jobs/revive.ts';
import { openDatabase, transact } from '../../src/store/database.ts';
import { createLogger } from '../../src/log.ts';
import { harnessForEachTest } from './harness.ts';
import type { Harness } from './harness.ts';

const { begin, start } = harnessForEachTest();

const digestOf = async (harness: Harness, key: string) =>
  createHash('sha256')
    .update(await readFile(join(harness.folder, key)))
    .digest('hex');

describe('what the upstream says cannot be trusted blindly', () => {
  // Two looks that lag are outlasted by sealing; a third reaches into clean-up.
  test.each([
    ['nothing', 2, 'verified'],
    ['files', 3, 'deleted'],
    ['files-and-job', 3, 'deleted'],
  ])('a listing that lags loses no file (delete: %s, %i looks)', async (mode, looks, state) => {
    const names = ['a.zip', 'b.zip'];
    const { harness, simulator, pipeline } = await begin({
      definition: { delete: mode },
      simulator: { filesFor: () => names.map((name) => ({ name, size: 1000 })) },
      worker: { collectSettle: '2500ms' },
    });
    // The first looks show one file of two.
    simulator.faults.add({
      endpoint: 'GET /v10/file-metadatas',
      kind: 'wrong-json',
      body: { status: { code: 0 }, data: { count: 1, size: 1, items: [{ name: 'a.zip', size: 1000 }] } },
      nth: 1,
      times: looks,
    });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { files } = await harness.story(pipeline, run.id);
    expect(files.map((file) => [file.name, file.state])).toEqual([
      ['a.zip', state],
      ['b.zip', state],
    ]);
    for (const file of files) {
      const digest = await simulator.fileDigest(file.name);
      expect(await digestOf(harness, file.key)).toBe(digest?.sha256);
    }
  });

  test('a body shorter than announced is not the file, though its Content-Length agrees', async () => {
    const { harness, pipeline } = await begin({
      simulator: { filesFor: () => [{ name: 'page.zip', size: 1000 }], announcedSize: () => 5_000_000 },
    });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/1000 bytes; the upstream announced 5000000/);
    expect(harness.requests(/^DELETE/)).toEqual([]);
  });

  test('a job whose marker is never found again is asked for only so often', async () => {
    const { harness, simulator, pipeline } = await begin({
      simulator: { createAnswer: 'empty', exportDuration: 1e9 },
    });
    simulator.faults.add({ endpoint: 'GET /v10/export/jobs', kind: 'status', status: 204 });
    simulator.faults.add({ endpoint: 'GET /v10/export/history', kind: 'status', status: 204 });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/asked for 3 times/);
    expect(harness.jobs()).toHaveLength(3);
  });

  test('a create that certainly had no effect uses up no try, however long that lasts', async () => {
    const { harness, simulator, pipeline } = await begin();
    const body = { message: 'Forbidden' };
    // Twice as often as the definition's attempts.
    const fault = simulator.faults.add({
      endpoint: 'POST /v10/export/jobs',
      kind: 'status',
      status: 403,
      body,
      nth: 1,
      times: 6,
    });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    expect(fault.fired).toBe(6);
    expect(harness.jobs()).toHaveLength(1);
    const { last } = await harness.story(pipeline, run.id);
    expect(last).toMatchObject({ attempt: 1, createTries: 1 });
  });

  test('one name in two runs: no content is taken for the other, none is deleted before it is stored', async () => {
    const { harness, simulator, worker } = await begin({
      simulator: { filesFor: () => [{ name: 'same.zip', size: 20_000 }] },
    });
    const pipeline = await harness.pipeline();
    const blocked = simulator.faults.add({
      endpoint: 'GET /v10/files/{filename}',
      kind: 'status',
      status: 503,
    });
    const first = await harness.planHour(pipeline, 0);
    await harness.until(pipeline, first.id, 'transferring');
    await worker.stop();
    // The first file is late, so that the second of its name is there before it has been copied.
    const transferAt = (when: ReturnType<typeof sql>) =>
      pipeline.db.execute(
        sql`update udm_sync_queue.job set start_after = ${when} where name like 'transfer%' and state < 'active'`,
      );
    await transferAt(sql`now() + interval '1 hour'`);
    blocked.remove();
    await harness.worker();
    const second = await harness.planHour(pipeline, 1);
    await expect
      .poll(async () => (await harness.story(pipeline, second.id)).files[0]?.state, { timeout: 20_000 })
      .toBe('verified');
    await transferAt(sql`now()`);
    const failed = await harness.until(pipeline, first.id, 'failed');
    expect(failed.reason).toMatch(/later file of the name/);
    await harness.until(pipeline, second.id, 'done');
    const { files } = await harness.story(pipeline, second.id);
    const digest = await simulator.fileDigest('same.zip', { generation: 2 });
    expect(await digestOf(harness, files[0]?.key ?? '')).toBe(digest?.sha256);
    // Exported anew, the first window gets content of its own again.
    await reviveRun(pipeline, first.id);
    const done = await harness.until(pipeline, first.id, 'done');
    expect(done.attempt).toBe(2);
  });
});

describe('a run in whose way something comes', () => {
  test('keeps its folder when the key template changes under it', async () => {
    const { harness, simulator, pipeline, worker } = await begin({
      simulator: { filesFor: () => [{ name: 'a.zip', size: 1000 }] },
    });
    simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: 'delay', ms: 1500, times: 1 });
    const observer = await harness.pipeline();
    const run = await harness.planHour(pipeline);
    await harness.until(observer, run.id, 'transferring');
    await worker.stop();
    const contacts = harness.config.definitions['contacts'];
    if (!contacts) throw new Error('the harness has one definition');
    const definitions = { contacts: { ...contacts, key: 'new/{definition}/{from}/{file}' } };
    await harness.worker({ ...harness.config, definitions });
    await harness.until(observer, run.id, 'done');
    const names = await readdir(harness.folder, { recursive: true });
    expect(names.filter((name) => name.startsWith('new'))).toEqual([]);
    expect(names.filter((name) => name.endsWith('_manifest.json'))).toHaveLength(1);
  });

  test('waits when its sink has moved, and deletes nothing', async () => {
    const { harness, pipeline, worker } = await begin({
      simulator: { filesFor: () => [{ name: 'a.zip', size: 1000 }] },
    });
    const observer = await harness.pipeline();
    const run = await harness.planHour(pipeline);
    await harness.until(observer, run.id, 'exporting');
    await worker.stop();
    await observer.db.execute(
      sql`update udm_sync.runs set sink_uri = 'file:///elsewhere' where id = ${run.id}`,
    );
    // Collecting notes the place anew only for a run that has no files; here it already has one.
    await observer.db.execute(sql`create function udm_sync.keep() returns trigger language plpgsql as
      $$ begin new.sink_uri := 'file:///elsewhere'; return new; end $$`);
    await observer.db.execute(
      sql`create trigger keep before update on udm_sync.runs for each row execute function udm_sync.keep()`,
    );
    await harness.worker();
    await expect
      .poll(async () => (await harness.story(observer, run.id)).files[0]?.reason ?? '', { timeout: 20_000 })
      .toMatch(/is now/);
    expect(harness.requests(/^DELETE/)).toEqual([]);
  });

  test('gives back its claim when it was cancelled while its worker was dead', async () => {
    const { harness, pipeline, worker } = await begin({
      tenantLimits: { transfers: 1 },
      simulator: { filesFor: (job) => [{ name: `${job.id}.zip`, size: 1000 }] },
    });
    const observer = await harness.pipeline();
    harness.simulator.faults.add({ endpoint: 'GET /v10/files/{filename}', kind: 'status', status: 503 });
    const run = await harness.planHour(pipeline);
    await harness.until(observer, run.id, 'transferring');
    await worker.stop();
    // As a killed worker leaves it: a file held by the claim of a queue job that will be handed out again.
    await observer.db.execute(sql`
      update udm_sync.files set state = 'transferring',
        claim = (select id::text from udm_sync_queue.job where name like 'transfer%' and state < 'completed' limit 1)`);
    await requestCancel(observer, run.id);
    harness.simulator.faults.clear();
    await harness.worker();
    const next = await harness.planHour(observer, 1);
    await harness.until(observer, next.id, 'done');
  });

  test('outlives Postgres breaking every connection, again and again', async () => {
    const { harness, pipeline } = await begin({ simulator: { exportDuration: 300_000 } });
    const database = await openDatabase(harness.url, 1, createLogger('silent'));
    const { db } = database;
    const runs = [];
    for (let hour = 0; hour < 3; hour += 1) runs.push(await harness.planHour(pipeline, hour));
    for (let times = 0; times < 5; times += 1) {
      await db.execute(sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    for (const run of runs)
      await expect.poll(() => stateOf(db, run.id), { timeout: 45_000, interval: 200 }).toBe('done');
    await database.close();
  });
});

async function stateOf(db: OpenPipeline['db'], runId: number): Promise<unknown> {
  const { rows } = await db.execute<{ state: string }>(
    sql`select state from udm_sync.runs where id = ${runId}`,
  );
  return rows[0]?.state;
}

describe('a transaction', () => {
  test('that cannot begin gives its connection back', async () => {
    const harness = await start();
    const database = await openDatabase(harness.url, 2, createLogger('silent'));
    const { db } = database;
    const admin = await harness.pipeline();
    for (let times = 0; times < 5; times += 1) {
      const client = await db.$client.connect();
      client.release();
      await admin.db.execute(sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'udm-sync' and pid <> pg_backend_pid()`);
      await transact(db, (tx) => tx.execute(sql`select 1`)).catch(() => undefined);
    }
    await expect(transact(db, async (tx) => (await tx.execute(sql`select 1 as one`)).rows)).resolves.toEqual([
      { one: 1 },
    ]);
    await database.close();
  });

  test('rolls back what it did when its work rejects', async () => {
    const harness = await start();
    const pipeline = await harness.pipeline();
    const run = await harness.planHour(pipeline);
    const broken = transact(pipeline.db, async (tx) => {
      await tx.execute(sql`update udm_sync.runs set state = 'done' where id = ${run.id}`);
      throw new Error('no');
    });
    await expect(broken).rejects.toThrow('no');
    expect(await stateOf(pipeline.db, run.id)).toBe('planned');
  });

  test('of a frozen process is ended by Postgres, so that its locks stop nobody', async () => {
    const harness = await start();
    const pipeline = await harness.pipeline();
    const { rows } = await transact(pipeline.db, (tx) =>
      tx.execute(
        sql`select current_setting('idle_in_transaction_session_timeout') as idle, current_setting('lock_timeout') as lock`,
      ),
    );
    expect(rows).toEqual([{ idle: '10s', lock: '30s' }]);
  });
});
