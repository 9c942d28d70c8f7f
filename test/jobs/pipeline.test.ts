import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { describe, expect, test } from 'vitest';
import { requestCancel, reviveRun } from '../../src/jobs/revive.ts';
import { harnessForEachTest } from './harness.ts';

const { begin, start } = harnessForEachTest();

describe('a run', () => {
  test('is copied, proven, sealed with a manifest, and only then deleted upstream', async () => {
    const { harness, simulator, pipeline } = await begin({ definition: { fileSplitSize: '1' } });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { files, lines } = await harness.story(pipeline, run.id);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const digest = await simulator.fileDigest(file.name);
      const stored = await readFile(join(harness.folder, file.key));
      expect(createHash('sha256').update(stored).digest('hex')).toBe(digest?.sha256);
      expect(file).toMatchObject({ state: 'deleted', size: digest?.size, proof: 'read' });
      expect(file.deletedAt?.getTime()).toBeGreaterThanOrEqual(file.verifiedAt?.getTime() ?? Infinity);
    }
    const manifest: unknown = JSON.parse(
      await readFile(
        join(harness.folder, 'demo/contacts/dt=2026-01-01/20260101T000000Z_20260101T010000Z/_manifest.json'),
        'utf8',
      ),
    );
    expect(manifest).toMatchObject({
      version: 1,
      window: { from: '2026-01-01T00:00:00.000Z', to: '2026-01-01T01:00:00.000Z' },
      files: files.map(({ name, key, size, crc32 }) => ({ name, key, size, crc32 })),
      totals: { files: files.length },
    });
    expect(lines.filter((line) => line.subject === 'run').map((line) => line.toState)).toEqual([
      'planned',
      'creating',
      'exporting',
      'collecting',
      'transferring',
      'stored',
      'done',
    ]);
    expect(simulator.state().files.every((file) => file.deletedAt !== undefined)).toBe(true);
    expect(harness.requests(/^DELETE .*\/export\//)).toEqual([]);
  });

  test('without files is sealed with an empty manifest, after a second look', async () => {
    const { harness, pipeline } = await begin({ simulator: { filesFor: () => [] } });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { files, last } = await harness.story(pipeline, run.id);
    expect(files).toEqual([]);
    expect(last?.listings).toBe(2);
    expect(harness.requests(/^DELETE/)).toEqual([]);
  });

  test('deletes history entry and job too when told so, and nothing when told so', async () => {
    const { harness, pipeline } = await begin({ definition: { delete: 'files-and-job' } });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    expect(harness.requests(/^DELETE .*\/export\/history\//)).toHaveLength(1);
    expect(harness.requests(/^DELETE .*\/export\/jobs\//)).toHaveLength(1);
    await harness.stop();

    const other = await begin({ definition: { delete: 'nothing' } });
    const kept = await other.harness.planHour(other.pipeline);
    await other.harness.until(other.pipeline, kept.id, 'done');
    expect(other.harness.requests(/^DELETE/)).toEqual([]);
  });
});

describe('creating the upstream job', () => {
  test.each(['lost-answer', 'reset', 'html'] as const)(
    'an unknown outcome (%s) never makes two jobs',
    async (kind) => {
      const { harness, simulator, pipeline } = await begin();
      simulator.faults.add({ endpoint: 'POST /v10/export/jobs', kind, times: 1 });
      const run = await harness.planHour(pipeline);
      await harness.until(pipeline, run.id, 'done');
      expect(harness.jobs()).toHaveLength(1);
      const { last } = await harness.story(pipeline, run.id);
      expect(last).toMatchObject({
        attempt: 1,
        state: 'completed',
        createTries: kind === 'lost-answer' ? 1 : 2,
      });
    },
  );

  test('an answer that names no id is resolved by the marker', async () => {
    const { harness, pipeline } = await begin({ simulator: { createAnswer: 'empty' } });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    expect(harness.jobs()).toHaveLength(1);
  });

  test('two jobs with our marker: one is kept, the other cancelled', async () => {
    const { harness, simulator, pipeline } = await begin({ simulator: { exportDuration: 600_000 } });
    // The first request is answered late, after we have looked for it: it arrives although it seemed lost.
    simulator.faults.add({ endpoint: 'POST /v10/export/jobs', kind: 'delay', ms: 1800, times: 1 });
    simulator.faults.add({ endpoint: 'GET /v10/export/jobs', kind: 'status', status: 204, times: 1 });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const alive = harness.jobs().filter((job) => job.runs.some((each) => each.state !== 'cancelled'));
    expect(alive).toHaveLength(1);
  });

  test('a refused job fails its attempts and says why', async () => {
    const { harness, pipeline } = await begin({ simulator: { certificate: false } });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.attempt).toBe(3);
    expect(failed.reason).toMatch(/refused/);
    expect(harness.jobs()).toHaveLength(0);
  });

  test('a tenant has no more live jobs than its limit, over two workers', async () => {
    const { harness, pipeline } = await begin({
      tenantLimits: { exports: 2 },
      simulator: { exportDuration: 120_000 },
    });
    await harness.worker();
    const runs = [];
    for (let hour = 0; hour < 6; hour += 1) runs.push(await harness.planHour(pipeline, hour));
    for (const run of runs) await harness.until(pipeline, run.id, 'done');
    const spans = harness
      .jobs()
      .map((job) => ({ from: +new Date(job.createdAt), to: +new Date(job.endedAt ?? 8.64e15) }));
    expect(spans).toHaveLength(6);
    for (const { from } of spans)
      expect(spans.filter((span) => span.from <= from && from < span.to).length).toBeLessThanOrEqual(2);
  });
});

describe('following the export', () => {
  test.each(['job-fails', 'job-cancelled', 'job-vanishes'] as const)(
    '%s upstream: a new job, and history says why',
    async (kind) => {
      const { harness, simulator, pipeline } = await begin();
      simulator.faults.add({ endpoint: 'POST /v10/export/jobs', kind, reason: 'out of luck', times: 1 });
      const run = await harness.planHour(pipeline);
      const done = await harness.until(pipeline, run.id, 'done');
      expect(done.attempt).toBe(2);
      const { lines } = await harness.story(pipeline, run.id);
      expect(lines.filter((line) => line.subject === 'export').map((line) => line.toState)).toEqual([
        'intended',
        'created',
        { 'job-fails': 'failed', 'job-cancelled': 'cancelled', 'job-vanishes': 'vanished' }[kind],
        'intended',
        'created',
        'completed',
      ]);
    },
  );

  test('an unknown status word is not the end; past maxExportDuration the job is cancelled and ends before the next', async () => {
    const { harness, simulator, pipeline } = await begin({ definition: { maxExportDuration: '1s' } });
    simulator.faults.add({
      endpoint: 'POST /v10/export/jobs',
      kind: 'unknown-status',
      word: 'Pondering',
      times: 1,
    });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { lines } = await harness.story(pipeline, run.id);
    expect(lines.filter((line) => line.reason?.includes('Pondering'))).toHaveLength(1);
    expect(
      lines.some((line) => line.toState === 'cancelling' && line.reason?.includes('maxExportDuration')),
    ).toBe(true);
    const [first, second] = [...harness.jobs()].sort(
      (a, b) => +new Date(a.createdAt) - +new Date(b.createdAt),
    );
    expect(+new Date(first?.endedAt ?? NaN)).toBeLessThanOrEqual(+new Date(second?.createdAt ?? NaN));
  });
});

describe('transferring', () => {
  test.each([
    ['truncate', 1],
    ['truncate-chunked', 1],
    ['reset-mid-body', 1],
    ['expired-url', 1],
  ] as const)('a body hit by %s is never stored as a success, and comes in the end', async (kind, times) => {
    const { harness, simulator, pipeline } = await begin({
      simulator: { filesFor: () => [{ name: 'one.zip.smime', size: 300_000 }] },
    });
    simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind, times });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { files } = await harness.story(pipeline, run.id);
    const stored = await readFile(join(harness.folder, files[0]?.key ?? ''));
    expect(createHash('sha256').update(stored).digest('hex')).toBe(
      (await simulator.fileDigest('one.zip.smime'))?.sha256,
    );
  });

  test('a file that always fails is dead after its attempts; the others are stored, nothing is deleted, retry revives it', async () => {
    const { harness, simulator, pipeline } = await begin({
      simulator: {
        filesFor: () => ['bad', 'good', 'fine'].map((name) => ({ name: `${name}.zip`, size: 5000 })),
      },
    });
    const fault = simulator.faults.add({ endpoint: /GET \/s3\/.*bad\.zip/, kind: 'truncate', times: 1000 });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/1 of 3 files.*bad\.zip/);
    const before = await harness.story(pipeline, run.id);
    expect(Object.fromEntries(before.files.map((file) => [file.name, [file.state, file.attempts]]))).toEqual({
      'bad.zip': ['dead', 3],
      'good.zip': ['verified', 1],
      'fine.zip': ['verified', 1],
    });
    expect(harness.requests(/^DELETE/)).toEqual([]);
    fault.remove();
    await reviveRun(pipeline, run.id);
    await harness.until(pipeline, run.id, 'done');
    expect(harness.jobs()).toHaveLength(1);
  });

  test('a file whose workers die one after the other is set apart from its batch, and then given up', async () => {
    const { harness, pipeline } = await begin({
      simulator: {
        filesFor: () => ['bad', 'good', 'fine'].map((name) => ({ name: `${name}.zip`, size: 5000 })),
      },
    });
    // What a row of dead workers leaves behind: a batch that was taken over three times, and a file ten times.
    await pipeline.db
      .execute(sql`create function udm_sync_queue.deaths() returns trigger language plpgsql as $$
      begin
        new.retry_count := case
          when new.data->'fileIds'->1 is not null then 3
          when (select name from udm_sync.files where id = (new.data->'fileIds'->>0)::bigint) = 'bad.zip' then 10
          else 2 end;
        return new;
      end $$`);
    await pipeline.db.execute(sql`create trigger deaths before insert on udm_sync_queue.job for each row
      when (new.name like 'transfer%') execute function udm_sync_queue.deaths()`);
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/1 of 3 files.*bad\.zip.*10 workers in a row/);
    const { files, lines } = await harness.story(pipeline, run.id);
    expect(Object.fromEntries(files.map((file) => [file.name, [file.state, file.attempts]]))).toEqual({
      'bad.zip': ['dead', 1],
      'good.zip': ['verified', 1],
      'fine.zip': ['verified', 1],
    });
    const apart = lines.filter(({ reason }) => reason?.includes('copied apart'));
    expect(apart.map(({ fileId }) => fileId).sort()).toEqual(files.map(({ id }) => id).sort());

    await pipeline.db.execute(sql`drop trigger deaths on udm_sync_queue.job`);
    await reviveRun(pipeline, run.id);
    await harness.until(pipeline, run.id, 'done');
  });

  test('a file that the vendor deleted before we had it is lost, loudly, and not retried for ever', async () => {
    const { harness, simulator, pipeline } = await begin({
      simulator: { filesFor: () => [{ name: 'gone.zip', size: 10 }] },
    });
    simulator.faults.add({ endpoint: 'GET /v10/files/{filename}', kind: 'status', status: 404, times: 1000 });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/1 lost/);
    simulator.faults.clear();
    await reviveRun(pipeline, run.id);
    const done = await harness.until(pipeline, run.id, 'done');
    expect(done.attempt).toBe(2);
  });

  test('an incomplete split set is stored but never sealed, and nothing is deleted', async () => {
    const { harness, pipeline } = await begin({
      simulator: { filesFor: () => [1, 3].map((part) => ({ name: `x-part-${part}-of-3.zip`, size: 100 })) },
      definition: { maxExportDuration: '1s' },
    });
    const run = await harness.planHour(pipeline);
    const failed = await harness.until(pipeline, run.id, 'failed');
    expect(failed.reason).toMatch(/part 2 of 3/);
    expect(harness.requests(/^DELETE/)).toEqual([]);
    expect(
      (await readdir(harness.folder, { recursive: true })).filter((name) => name.endsWith('_manifest.json')),
    ).toEqual([]);
  });

  test('files that appear late are copied before the run is sealed', async () => {
    const { harness, simulator, pipeline } = await begin({
      simulator: { filesFor: () => [{ name: 'early.zip', size: 5000 }] },
    });
    const hold = simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: 'delay', ms: 700, times: 1 });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'transferring');
    const { last } = await harness.story(pipeline, run.id);
    simulator.addFile({ name: 'late.zip', size: 7000, historyId: last?.upstreamHistoryId ?? '' });
    await harness.until(pipeline, run.id, 'done');
    expect(hold.fired).toBe(1);
    const { files } = await harness.story(pipeline, run.id);
    expect(files.map((file) => [file.name, file.state])).toEqual([
      ['early.zip', 'deleted'],
      ['late.zip', 'deleted'],
    ]);
  });
});

describe('cleaning', () => {
  test('more files than a list may hold, and a list that is only partly deleted', async () => {
    const names = Array.from({ length: 130 }, (_, index) => `file-${index}.zip`);
    const { harness, simulator, pipeline } = await begin({
      simulator: { filesFor: () => names.map((name) => ({ name, size: 10 })) },
    });
    simulator.faults.add({
      endpoint: 'DELETE /v10/files',
      kind: 'partial-delete',
      names: 'file-7',
      times: 1,
    });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    expect(simulator.state().files.filter((file) => file.deletedAt === undefined)).toEqual([]);
    const { files } = await harness.story(pipeline, run.id);
    expect(files.every((file) => file.state === 'deleted')).toBe(true);
  });
});

describe('cancelling', () => {
  test('also cancels upstream; retry then makes a new job', async () => {
    const { harness, pipeline } = await begin({ simulator: { exportDuration: 3_600_000 } });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'exporting');
    await requestCancel(pipeline, run.id);
    await harness.until(pipeline, run.id, 'cancelled');
    expect(harness.requests(/^POST .*\/cancel\//).length).toBeGreaterThan(0);
    expect(harness.jobs().map((job) => job.runs.map((each) => each.state))).toEqual([['cancelled']]);
    await reviveRun(pipeline, run.id);
    await harness.until(pipeline, run.id, 'exporting');
    expect(harness.jobs()).toHaveLength(2);
    await expect(reviveRun(pipeline, run.id)).rejects.toThrow(/only a failed or cancelled run/);
  });

  test('a run that waits is cancelled without ever going upstream', async () => {
    const harness = await start();
    const pipeline = await harness.pipeline();
    const run = await harness.planHour(pipeline);
    expect(await requestCancel(pipeline, run.id)).toBe('cancelled');
    const worker = await harness.worker();
    const other = await harness.planHour(worker.pipeline, 1);
    await harness.until(worker.pipeline, other.id, 'done');
    expect(harness.jobs()).toHaveLength(1);
  });
});
