import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { harnessForEachTest } from '../jobs/harness.ts';
import { sweepAll } from '../../src/jobs/sweep.ts';
import { metricNames, promtool, promtoolInstalled, read } from './promtool.ts';
import { serve, valueOf } from './serving.ts';

const { begin, start } = harnessForEachTest();
let s3: S3Server;
beforeAll(async () => {
  s3 = await startS3Server();
});
afterAll(() => s3.stop());

/** A sink in S3 that takes files of over 5 MiB in parts. */
async function lake() {
  const { endpoint, region, credentials } = s3;
  const { accessKeyId, secretAccessKey } = credentials;
  const bucket = await s3.createBucket();
  const where = { type: 's3', bucket, endpoint, region, accessKeyId, secretAccessKey };
  return { ...where, forcePathStyle: true, partSize: '5MiB' };
}

const MiB = 1024 * 1024;

describe('a worker that has done a window', () => {
  test('exposes every metric that rules, dashboard and manual name, and the manual names all', async () => {
    const { harness, pipeline, simulator } = await begin({
      sink: await lake(),
      worker: { memory: '128MiB' },
      simulator: {
        filesFor: () => [
          { name: 'secret-customer-name.zip', size: 12 * MiB },
          { name: 'small.zip', size: 1000 },
        ],
      },
    });
    const metrics = await serve(pipeline, harness.url);
    // Told again: the first attempt of one file fails.
    simulator.faults.add({ endpoint: 'GET /v10/files/{filename}', kind: 'status', status: 404, times: 1 });
    const run = await harness.planHour(pipeline);
    await harness.until(pipeline, run.id, 'done');
    const { status, type, text } = await metrics('/metrics');
    expect({ status, type }).toEqual({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8' });

    const exposed = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = '']) => name));
    const ours = [...exposed].filter((name) => name.startsWith('udm_sync_')).sort();
    const documented = metricNames(read('docs/metrics.md'));
    expect([...documented].sort()).toEqual(ours);
    // A histogram is exposed as three.
    const base = (name: string) => (exposed.has(name) ? name : name.replace(/_(bucket|count|sum)$/, ''));
    for (const file of [
      'deploy/prometheus/alerts.yaml',
      'deploy/prometheus/alerts.test.yaml',
      'deploy/grafana/dashboard.json',
    ]) {
      const named = [...metricNames(read(file))].map(base);
      expect(named.length, file).toBeGreaterThan(10);
      expect(ours, file).toEqual(expect.arrayContaining(named));
    }
    for (const name of read('docs/metrics.md').match(/\b(process|nodejs)_[a-z0-9_]+/g) ?? [])
      expect(exposed).toContain(name);

    // Names of the config, states and codes; never what has no bound.
    expect(text).not.toContain('customer');
    const numbers = [...text.matchAll(/^udm_sync_\w+\{.*\} /gm)].flatMap(([line]) => [
      ...line.matchAll(/(\w+)="\d+"/g),
    ]);
    expect(new Set(numbers.map(([, label]) => label))).toEqual(new Set(['le', 'status']));
    expect(text).not.toContain('demo-client-secret');
    expect(text).not.toContain('demo-api-key');
    const labels = new Set(
      [...text.matchAll(/^udm_sync_\w+\{(.*)\} /gm)].flatMap(([, list = '']) =>
        [...list.matchAll(/(\w+)="/g)].map(([, name = '']) => name),
      ),
    );
    expect([...labels].sort()).toEqual(
      [
        ...[
          'code',
          'days_left',
          'definition',
          'endpoint',
          'group',
          'lane',
          'le',
          'operation',
          'outcome',
          'queue',
        ],
        ...['sink', 'state', 'status', 'tenant', 'version', 'why', 'work'],
      ].sort(),
    );
    // Those of the process have the names that prom-client gives them.
    const lines = text.split('\n').filter((line) => line.includes('udm_sync_'));
    if (promtoolInstalled)
      expect(promtool(['check', 'metrics'], `${lines.join('\n')}\n`)).toEqual({ ok: true, said: '' });

    const definition = 'contacts';
    const bytes = 12 * MiB + 1000;
    expect(valueOf(text, 'udm_sync_stored_files_total', { definition })).toBe(2);
    expect(valueOf(text, 'udm_sync_stored_bytes_total', { definition })).toBe(bytes);
    expect(valueOf(text, 'udm_sync_sent_bytes_total', { definition })).toBe(bytes);
    expect(valueOf(text, 'udm_sync_deleted_files_total', { definition })).toBe(2);
    expect(valueOf(text, 'udm_sync_transfer_duration_seconds_count', { definition })).toBe(2);
    const completed = { definition, outcome: 'completed' };
    expect(valueOf(text, 'udm_sync_export_duration_seconds_count', completed)).toBe(1);
    const failed = { definition, work: 'transfer', code: 'ERR_FILE_MISSING' };
    expect(valueOf(text, 'udm_sync_failures_total', failed)).toBe(1);
    expect(valueOf(text, 'udm_sync_retries_total', { work: 'transfer' })).toBe(1);
    const created = { tenant: 'demo', endpoint: 'POST /v10/export/jobs', status: '202' };
    expect(valueOf(text, 'udm_sync_upstream_requests_total', created)).toBe(1);
    const part = { sink: 'disk', operation: 'UploadPart' };
    expect(valueOf(text, 'udm_sync_s3_requests_total', { ...part, status: '200' })).toBe(3);
    expect(valueOf(text, 'udm_sync_s3_request_duration_seconds_count', part)).toBe(3);
    expect(valueOf(text, 'udm_sync_runs', { definition, state: 'done' })).toBe(1);
    expect(valueOf(text, 'udm_sync_runs', { definition, state: 'failed' })).toBe(0);
    expect(valueOf(text, 'udm_sync_files', { state: 'deleted' })).toBe(2);
    expect(valueOf(text, 'udm_sync_unsafe_files', { definition, state: 'waiting' })).toBe(0);
    expect(valueOf(text, 'udm_sync_last_success_age_seconds', { definition })).toBeGreaterThanOrEqual(0);
    const lanes = ['small', 'large'].map((lane) =>
      valueOf(text, 'udm_sync_memory_budget_bytes', { tenant: 'demo', lane }),
    );
    expect(lanes).toEqual([32 * MiB, 96 * MiB]);
    expect(valueOf(text, 'udm_sync_memory_used_bytes', { tenant: 'demo', lane: 'large' })).toBe(0);
    expect(valueOf(text, 'udm_sync_scrape_errors_total', { group: 'state' })).toBe(0);
    expect(valueOf(text, 'udm_sync_build_info', { version: '1.2.3' })).toBe(1);
  });
});

describe('how things stand', () => {
  const definition = 'contacts';

  test('tells what is at risk, when the first of it expires, and what has failed', async () => {
    const harness = await start({
      simulator: { filesFor: () => ['a', 'b', 'c', 'd'].map((name) => ({ name, size: 1000 })) },
    });
    const pipeline = await harness.pipeline();
    const run = await harness.planHour(pipeline);
    const later = await harness.planHour(pipeline, 1);
    await pipeline.db.execute(sql`
      insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request)
        values (${run.id}, 'demo', 1, 'm1', 'completed', '{}'), (${later.id}, 'demo', 1, 'm2', 'created', '{}')`);
    await pipeline.db.execute(
      sql`update udm_sync.runs set state = 'transferring', step_failures = 1 where id = ${run.id}`,
    );
    const file = (name: string, state: string, days: number) =>
      pipeline.db.execute(sql`
        insert into udm_sync.files (run_id, export_id, tenant, name, key, state, expires_at)
        select ${run.id}, id, 'demo', ${name}, ${name}, ${state}, now() + make_interval(hours => ${days * 24})
        from udm_sync.exports where run_id = ${run.id}`);
    await file('overdue', 'dead', -1);
    await file('soon', 'waiting', 2);
    await file('later', 'transferring', 25);
    await file('gone', 'lost', -3);
    const metrics = await serve(pipeline, harness.url);
    const { text } = await metrics('/metrics');
    for (const state of ['dead', 'waiting', 'transferring', 'lost'])
      expect(valueOf(text, 'udm_sync_unsafe_files', { definition, state }), state).toBe(1);
    expect(valueOf(text, 'udm_sync_expiry_headroom_seconds', { definition })).toBeLessThan(-86_000);
    const expiring = ['0-1', '1-3', '3-10', '10-20', '20+'].map((days_left) =>
      valueOf(text, 'udm_sync_expiring_files', { definition, days_left }),
    );
    expect(expiring).toEqual([1, 1, 0, 0, 1]);
    expect(valueOf(text, 'udm_sync_struggling_runs', { definition })).toBe(1);
    expect(valueOf(text, 'udm_sync_live_exports', { tenant: 'demo' })).toBe(1);
    expect(valueOf(text, 'udm_sync_queue_jobs', { queue: 'step', state: 'ready' })).toBe(2);
    expect(valueOf(text, 'udm_sync_queue_oldest_seconds', { queue: 'step' })).toBeGreaterThan(0);
    expect(valueOf(text, 'udm_sync_last_success_age_seconds', { definition })).toBeUndefined();
  });

  test('the lag counts from the last window up to which all are done', async () => {
    const harness = await start({ definition: { schedule: { cron: '5 * * * *' } } });
    const pipeline = await harness.pipeline();
    // Four scheduled hours, 10 to 6 hours ago, and a backfill of long ago that is under way.
    const run = (hoursAgo: number, state: string, origin = 'schedule') =>
      pipeline.db.execute(sql`
        insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, finished_at)
        values (${definition}, 'demo', 'disk', now() - make_interval(hours => ${hoursAgo}),
          now() - make_interval(hours => ${hoursAgo - 1}), ${origin}, ${state},
          case when ${state} = 'done' then now() - interval '90 minutes' end)`);
    await run(1000, 'exporting', 'backfill');
    await run(10, 'done');
    await run(9, 'cancelled');
    await run(8, 'done');
    await run(7, 'done');
    const lag = async () => {
      const metrics = await serve(pipeline, harness.url);
      const { text } = await metrics('/metrics');
      expect(valueOf(text, 'udm_sync_expected_lag_seconds', { definition })).toBe(3600 + 900 + 3600);
      expect((valueOf(text, 'udm_sync_last_success_age_seconds', { definition }) ?? 0) / 60).toBeCloseTo(
        90,
        0,
      );
      return Math.round((valueOf(text, 'udm_sync_window_lag_seconds', { definition }) ?? 0) / 360) / 10;
    };
    expect(await lag()).toBe(6);
    await run(6, 'exporting');
    await run(5, 'done');
    expect(await lag()).toBe(6);
    await pipeline.db.execute(sql`update udm_sync.runs set state = 'failed' where state = 'cancelled'`);
    expect(await lag()).toBe(9);
  });

  test('aborted uploads and sweeps that fail are counted', async () => {
    const harness = await start({ sink: { ...(await lake()), bucket: 'udm-sync-no-such-bucket' } });
    const pipeline = await harness.pipeline();
    const metrics = await serve(pipeline, harness.url);
    await sweepAll(pipeline, { olderThanMs: 1000 });
    const aborted = { sink: 'disk', why: 'leaked', uploads: 2, bytes: 7 } as const;
    pipeline.events.emit('event', { kind: 'aborted', ...aborted });
    const { text } = await metrics('/metrics');
    const failed = { sink: 'disk', code: 'ERR_SINK_BUCKET' };
    expect(valueOf(text, 'udm_sync_sweep_failures_total', failed)).toBe(1);
    expect(valueOf(text, 'udm_sync_aborted_uploads_total', { sink: 'disk', why: 'leaked' })).toBe(2);
    expect(valueOf(text, 'udm_sync_aborted_upload_bytes_total', { sink: 'disk', why: 'leaked' })).toBe(7);
    expect(valueOf(text, 'udm_sync_last_sweep_leaked_uploads', { sink: 'disk' })).toBe(2);
    expect(valueOf(text, 'udm_sync_aborted_uploads_total', { sink: 'disk', why: 'settled' })).toBe(0);
  });
});
