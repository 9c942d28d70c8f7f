import type { Place } from './place.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const MiB = 2 ** 20;

/** The hour that has just ended, and earlier ones. */
export function hoursAgo(n: number): Date {
  return new Date(Math.floor(Date.now() / hourMs - n) * hourMs);
}

/** Definitions of the story; their history begins some days ago. */
export function storyDefinitions() {
  const start = new Date(Math.floor(Date.now() / dayMs) * dayMs - 26 * dayMs).toISOString();
  const base = { tenant: 'acme', sink: 'lake', source: 'UCSX' };
  const hourly = { schedule: { cron: '5 * * * *' }, windows: { length: '1h', lag: '1h', start } };
  const daily = { schedule: { cron: '30 2 * * *' }, windows: { length: '1d', lag: '1h', start } };
  return {
    'contacts-hourly': { ...base, type: 'contacts', ...hourly },
    'interactions-hourly': { ...base, type: 'interactions', ...hourly },
    'recordings-daily': { ...base, type: 'recordings', ...daily },
  };
}

/** A month as operators meet it: mostly done, a gap, a failure, and work under way. */
export async function tellStory({ rows }: Pick<Place, 'rows'>): Promise<void> {
  // Everything that is long past, at once.
  await rows.sql(
    `with planned as (
       insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, attempt, finished_at, updated_at)
       select name, 'acme', 'lake', at, at + step, 'schedule', 'done', 1, at + step + interval '21 minutes', at + step + interval '21 minutes'
       from (values ('contacts-hourly', interval '1 hour'), ('interactions-hourly', interval '1 hour'), ('recordings-daily', interval '1 day')) d(name, step),
         generate_series(date_trunc('day', now(), 'UTC') - interval '26 days',
           case when step = interval '1 day' then date_trunc('day', now(), 'UTC') - step
             else date_trunc('hour', now(), 'UTC') - interval '4 hours' end, step) at
       where not (name = 'interactions-hourly' and at >= date_trunc('day', now(), 'UTC') - interval '9 days 8 hours'
           and at < date_trunc('day', now(), 'UTC') - interval '8 days 13 hours')
         and not (name = 'recordings-daily' and at = date_trunc('day', now(), 'UTC') - interval '4 days')
       returning id, window_to
     ), exported as (
       insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request, upstream_job_id, upstream_history_id, status_word, progress, created_at, finished_at)
       select id, 'acme', 1, 'marker-' || id, 'completed', '{}', 'job-' || id, 'history-' || id, 'COMPLETED', 100, window_to + interval '5 minutes', window_to + interval '15 minutes'
       from planned returning id, run_id, finished_at
     )
     insert into udm_sync.files (run_id, export_id, tenant, name, key, state, announced_size, size, crc32, proof, verified_at, deleted_at, expires_at)
     select run_id, id, 'acme', 'contacts_' || run_id || '_' || n || '.csv', 'acme/contacts/' || run_id || '/' || n, 'deleted', bytes, bytes, '89abcdef', 'size',
       finished_at, finished_at + interval '1 minute', finished_at + interval '30 days'
     from exported, generate_series(1, 2) n,
       lateral (select ((40 + 30 * sin(extract(hour from finished_at) / 24 * 6.28 - 2) + (run_id * 7919 % 13)) * 1048576)::bigint as bytes) size`,
  );
  const failed = await rows.run({
    definition: 'recordings-daily',
    from: new Date(Math.floor(Date.now() / dayMs) * dayMs - 4 * dayMs),
    length: 24,
    state: 'failed',
    reason: 'the upstream reports the export as failed (“FAILED”): Data source is not available',
    finishedAt: hoursAgo(70),
  });
  await rows.export(failed, 'failed', { status: 'FAILED' });
  for (const [n, hour] of [40, 41, 41, 200, 310].entries())
    await rows.history({
      run: failed,
      subject: 'export',
      from: 'created',
      to: 'failed',
      at: hoursAgo(hour - (n % 2)),
      reason: 'FAILED',
    });
  for (const hour of [3, 3, 9])
    await rows.history({
      run: failed,
      subject: 'file',
      from: 'transferring',
      to: 'waiting',
      at: hoursAgo(hour),
      reason: 'reset',
    });

  const exporting = await rows.run({ definition: 'contacts-hourly', from: hoursAgo(2), state: 'exporting' });
  await rows.export(exporting, 'created', {
    progress: 62,
    status: 'RUNNING',
    createdAt: new Date(Date.now() - 140_000),
  });
  const begun = await rows.run({ definition: 'interactions-hourly', from: hoursAgo(2), state: 'exporting' });
  await rows.export(begun, 'created', { status: 'QUEUED', createdAt: new Date(Date.now() - 25_000) });

  const moving = await rows.run({
    definition: 'interactions-hourly',
    from: hoursAgo(3),
    state: 'transferring',
  });
  const exported = await rows.export(moving, 'completed', { progress: 100, status: 'COMPLETED' });
  const startedAt = new Date(Date.now() - 42_000);
  const big = await rows.file({
    run: moving,
    export: exported,
    name: 'interactions_voice_part-0001.csv.gz',
    state: 'transferring',
    size: 900 * MiB,
    startedAt,
  });
  await rows.history({
    run: moving,
    file: big,
    subject: 'file',
    from: 'waiting',
    to: 'transferring',
    who: 'worker-6f7d9c/7/4be1c0',
    at: startedAt,
  });
  await rows.upload(big, { length: 900 * MiB, partSize: 8 * MiB, parts: 47, begunAt: startedAt });
  const small = await rows.file({
    run: moving,
    export: exported,
    name: 'interactions_email_part-0001.csv.gz',
    state: 'transferring',
    size: 3 * MiB,
    startedAt: new Date(Date.now() - 1500),
  });
  await rows.history({
    run: moving,
    file: small,
    subject: 'file',
    from: 'waiting',
    to: 'transferring',
    who: 'worker-b81f22/7/09aa17',
  });
  for (let n = 2; n < 14; n += 1)
    await rows.file({
      run: moving,
      export: exported,
      name: `interactions_voice_part-${String(n).padStart(4, '0')}.csv.gz`,
      state: 'waiting',
      size: 120 * MiB,
      expiresAt: new Date(Date.now() + (24 + (n % 5)) * dayMs),
    });

  const stuck = await rows.run({
    definition: 'contacts-hourly',
    from: hoursAgo(3),
    state: 'transferring',
    reason: 'The bucket "acme-exports" denies s3:PutObject. Allow it: docs/s3-permissions.md.',
  });
  await rows.sql('update udm_sync.runs set step_failures = 4, attempt = 1 where id = $1', [stuck]);
  const stuckExport = await rows.export(stuck, 'completed', { progress: 100, status: 'COMPLETED' });
  for (const [n, days] of [2.4, 2.4, 5.5, 12, 12, 19].entries())
    await rows.file({
      run: stuck,
      export: stuckExport,
      name: `contacts_part-000${n}.csv.gz`,
      state: n === 0 ? 'dead' : 'waiting',
      size: (12 + n) * MiB,
      expiresAt: new Date(Date.now() + days * dayMs),
      reason: 'the bucket denies s3:PutObject',
    });

  await rows.schedule('contacts-hourly', new Date(hoursAgo(-1).getTime() + 5 * 60_000));
  await rows.schedule('interactions-hourly', new Date(hoursAgo(-1).getTime() + 5 * 60_000));
  await rows.schedule(
    'recordings-daily',
    new Date(Math.floor(Date.now() / dayMs + 1) * dayMs + 2.5 * hourMs),
  );
}
