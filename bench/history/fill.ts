import type pg from 'pg';
import { fileColumns, liveThrough } from './lived.ts';

/** How much history to make up. */
export interface HistorySize {
  readonly runs: number;
  readonly filesPerRun: number;
  readonly definitions: number;
  readonly tenants: number;
  /** Completed queue jobs that pg-boss has not deleted yet. */
  readonly queueJobs: number;
  /** Files of the one large export that is being transferred. */
  readonly largeExport: number;
  /** Whether files go through their states one by one, as they do in life, which leaves tables and indexes as in life. */
  readonly lived: boolean;
}

/** The name of a definition that `fillHistory` makes runs of. */
export function definitionName(n: number): string {
  return `contacts-hourly-${String(n).padStart(2, '0')}`;
}

export function tenantName(n: number): string {
  return `tenant-${n}`;
}

/**
 * Fills an empty, migrated database with what years of work leave behind: hourly windows up to the newest complete
 * one, nearly all `done`, with a tail of runs in every state. Every fourth definition began as a backfill, which its
 * schedule has gone on from. Statistics are gathered, and the visibility map is as autovacuum would leave it.
 *
 * Needs the queues of pg-boss, which opening a pipeline makes.
 */
export async function fillHistory(client: pg.Client, size: HistorySize): Promise<void> {
  const { definitions, tenants, filesPerRun } = size;
  const slots = Math.ceil(size.runs / definitions);
  await client.query(windowsOf(slots, definitions, tenants));
  await client.query(exportsOfRuns);
  if (size.lived) await liveThrough(client, (table) => filesOfRuns(table, filesPerRun));
  else await client.query(filesOfRuns('udm_sync.files', filesPerRun));
  for (const sql of [
    largeExport(size.largeExport),
    linesOfRuns,
    linesOfFiles,
    uploadsOfFiles,
    schedulesOf,
    liveJobs,
    completedJobs(size.queueJobs),
  ])
    await client.query(sql);
  await client.query('vacuum analyze');
}

/** Runs, in the order of time: all definitions' first window, all definitions' second … */
function windowsOf(slots: number, definitions: number, tenants: number): string {
  return `
    insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, attempt, failures,
      step_failures, sink_uri, reason, manifest_key, next_step_at, created_at, updated_at, finished_at)
    select definition, tenant, 'lake', window_to - interval '1 hour', window_to,
      case when d % 4 = 3 and slot < ${slots} / 2 then 'backfill' else 'schedule' end,
      state, attempt, attempt - 1,
      case when state = 'exporting' and n % 3 = 0 then 2 else 0 end,
      case when state in ('planned', 'creating') then null else 's3://acme-genesys-exports/udm' end,
      case when state = 'failed' then '2 of 10 files could not be stored (1 dead, 1 lost)' end,
      case when state in ('transferring', 'stored', 'done', 'failed') then folder || '_manifest.json' end,
      case when state in ('done', 'failed', 'cancelled') then null else now() end,
      window_to + interval '15 minutes', window_to + interval '20 minutes',
      case when state in ('done', 'failed', 'cancelled') then window_to + interval '20 minutes' end
    from (
      select n, d, slot, definition, tenant, window_to,
        tenant || '/' || definition || '/dt=' || to_char(window_to, 'YYYY-MM-DD') || '/'
          || to_char(window_to - interval '1 hour', 'YYYYMMDD"T"HH24MISS"Z"') || '_'
          || to_char(window_to, 'YYYYMMDD"T"HH24MISS"Z"') || '/' as folder,
        case when n % 50 = 0 then 2 else 1 end as attempt,
        case
          when slot >= ${slots} - 3 then
            (array['planned', 'creating', 'exporting', 'collecting', 'transferring', 'stored', 'cancelling'])[1 + n % 7]
          when n % 997 = 0 then 'failed'
          when n % 1009 = 0 then 'cancelled'
          else 'done'
        end as state
      from (
        select n, n % ${definitions} as d, n / ${definitions} as slot,
          'contacts-hourly-' || lpad((n % ${definitions})::text, 2, '0') as definition,
          'tenant-' || (n % ${definitions}) % ${tenants} as tenant,
          date_trunc('hour', now() at time zone 'UTC' - interval '30 minutes') at time zone 'UTC'
            - (${slots} - 1 - n / ${definitions}) * interval '1 hour' as window_to
        from generate_series(0, ${slots * definitions} - 1) as n
      ) numbered
    ) described
    order by n`;
}

/** An export for each attempt; those before the last have failed. */
const exportsOfRuns = `
  insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request, upstream_job_id, upstream_history_id,
    status_word, progress, create_tries, create_sent_at, polls, listings, intended_at, created_at, last_polled_at, finished_at)
  select r.id, r.tenant, a, 'us' || md5(r.id || '-' || a),
    case when a < r.attempt then 'failed'
      when r.state = 'creating' then 'intended'
      when r.state in ('exporting', 'cancelling') then 'created'
      else 'completed' end,
    jsonb_build_object('source', 'UCSX', 'type', 'contacts', 'title', r.definition || ' us' || md5(r.id || '-' || a),
      'description', 'Created by udm-sync for ' || r.definition,
      'timeFrame', jsonb_build_object('all', false, 'dateFrom', r.window_from, 'dateTo', r.window_to),
      'schedulerParam', jsonb_build_object('immediately', true),
      'jobParams', jsonb_build_object('exportAttachments', false), 'suspended', false),
    gen_random_uuid()::text, gen_random_uuid()::text, 'COMPLETED', 100, 1, r.created_at, 6, 2,
    r.created_at, r.created_at, r.created_at + interval '3 minutes',
    case when a < r.attempt or r.state not in ('creating', 'exporting', 'cancelling') then r.created_at + interval '3 minutes' end
  from udm_sync.runs r, generate_series(1, r.attempt) a
  where r.state <> 'planned' or a < r.attempt
  order by r.id, a`;

/** Files, given the part number `p` of `parts` and the state that each is to have. */
const filesFrom = (table: string, parts: string, state: string, from: string) => `
  insert into ${table} (${fileColumns})
  select run_id, export_id, tenant, name, folder || name, state, size,
    case when proven then size end, case when proven then lpad(to_hex(hash & 2147483647), 8, '0') end,
    case when proven then '"' || md5(name) || '-1"' end, case when proven then '"' || md5(name || 'source') || '"' end,
    case when proven then 'checksum' end, 1,
    case when state = 'transferring' then gen_random_uuid()::text end,
    made, made + interval '30 days', made + interval '1 minute', made + interval '2 minutes',
    case when proven then made + interval '3 minutes' end,
    case when state = 'deleted' then made + interval '4 minutes' end
  from (
    select run_id, export_id, tenant, folder, made, state, name, state in ('verified', 'deleted') as proven,
      hashtext(name) as hash, 20000 + (hashtext(name) & 1048575) as size
    from (
      select r.id as run_id, e.id as export_id, r.tenant, e.finished_at as made, ${state} as state,
        coalesce(regexp_replace(r.manifest_key, '[^/]+$', ''), '') as folder,
        'UCSX-Contacts-' || to_char(r.window_from, 'YYYYMMDDHH24MI') || '-' || left(e.upstream_job_id, 8)
          || '-part-' || lpad(p::text, 4, '0') || '-of-' || lpad((${parts})::text, 4, '0') || '.zip.smime' as name
      from ${from}, generate_series(1, ${parts}) p
    ) named
  ) sized`;

const filesOfRuns = (table: string, files: number) =>
  filesFrom(
    table,
    String(files),
    `case r.state
    when 'done' then 'deleted'
    when 'failed' then case p when 1 then 'dead' when 2 then 'lost' else 'verified' end
    when 'transferring' then case when p = 1 then 'transferring' when p <= 4 then 'waiting' else 'verified' end
    else 'verified' end`,
    `(select * from udm_sync.runs where state in ('done', 'failed', 'cancelled', 'transferring', 'stored') order by id) r
    join udm_sync.exports e on e.run_id = r.id and e.attempt = r.attempt`,
  );

const largeExport = (files: number) =>
  filesFrom(
    'udm_sync.files',
    String(files),
    `case when p % 4 = 0 then 'waiting' else 'verified' end`,
    `(select * from udm_sync.runs where state = 'collecting' order by id limit 1) r
      join udm_sync.exports e on e.run_id = r.id and e.attempt = r.attempt`,
  );

const who = `'udm-sync-worker-7c9d5f6b8-x2x4v/1/ab12cd'`;

const linesOfRuns = `
  insert into udm_sync.history (at, run_id, subject, from_state, to_state, who, reason)
  select r.created_at + step * interval '30 seconds', r.id, subject, before, after, ${who}, why
  from udm_sync.runs r, (values
    (0, 'run', null, 'planned', 'schedule'), (1, 'export', null, 'intended', 'attempt 1, marker usb7b45d1158fa1d5e1ed5'),
    (2, 'run', 'planned', 'creating', null),
    (3, 'export', 'intended', 'created', 'upstream job 41f843f4-ce2a-4779-a1d3-6747aabe6503'),
    (4, 'run', 'creating', 'exporting', null), (5, 'export', 'created', 'completed', null),
    (6, 'run', 'exporting', 'collecting', null), (7, 'run', 'collecting', 'transferring', null),
    (8, 'run', 'transferring', 'stored', '10 files, 5242880 bytes'), (9, 'run', 'stored', 'done', null)
  ) as line (step, subject, before, after, why)
  where r.state = 'done' or step < 7
  order by r.id, step`;

const linesOfFiles = `
  insert into udm_sync.history (at, run_id, file_id, subject, from_state, to_state, who, reason)
  select f.found_at + step * interval '30 seconds', f.run_id, f.id, 'file', before, after, ${who}, why
  from udm_sync.files f, (values
    (0, null, 'waiting', null), (1, 'waiting', 'transferring', null),
    (2, 'transferring', 'verified', 'proof: checksum'), (3, 'verified', 'deleted', null)
  ) as line (step, before, after, why)
  where f.state = 'deleted' or step = 0 or (f.state = 'verified' and step < 3)
  order by f.id, step`;

/** An upload in parts for each file in transfer, and some that nobody will continue. */
const uploadsOfFiles = `
  with begun as (
    insert into udm_sync.uploads (file_id, sink, upload, part_size, length, source_etag)
    select id, 'lake', jsonb_build_object('key', key, 'id', md5(name), 'marker', md5(key),
      'keeps', jsonb_build_object('parts', true, 'whole', false)), 8388608, 167772160, '"' || md5(name) || '"'
    from udm_sync.files
    where state = 'transferring' or id in (select id from udm_sync.files where state = 'dead' order by id limit 5)
    returning id)
  insert into udm_sync.parts (upload_id, number, size, etag, crc32)
  select id, number, 8388608, '"' || md5(id || '-' || number) || '"', '20450117' from begun, generate_series(1, 20) number`;

const schedulesOf = `
  insert into udm_sync.schedules (definition, cron, time_zone, last_tick_at, next_tick_at)
  select distinct definition, '5 * * * *', 'UTC', now(), now() + interval '1 hour' from udm_sync.runs`;

/** Queue jobs need the columns that pg-boss would have copied from the queue. */
const jobColumns = `name, data, state, singleton_key, policy, retry_limit, deletion_seconds, heartbeat_seconds, keep_until,
  created_on, started_on, completed_on, heartbeat_on`;

/** A step for each unfinished run, and a transfer for each batch of 32 files of runs that are being transferred. */
const liveJobs = `
  insert into udm_sync_queue.job (${jobColumns})
  select 'step', jsonb_build_object('runId', id), 'created'::udm_sync_queue.job_state, id::text, 'exclusive', 1000000, 3600, 10,
    now() + interval '10 years', now(), null::timestamptz, null::timestamptz, null::timestamptz
  from udm_sync.runs where state not in ('done', 'failed', 'cancelled') and state <> 'transferring'
  union all
  select 'transfer', jsonb_build_object('runId', run_id, 'tenant', min(tenant), 'fileIds', jsonb_agg(id)), 'created', run_id || ':' || min(id),
    'exclusive', 1000000, 3600, 10, now() + interval '10 years', now(), null, null, null
  from (
    select *, (row_number() over (partition by run_id order by id) - 1) / 32 as batch
    from udm_sync.files where state in ('waiting', 'transferring')
  ) pending
  group by run_id, batch`;

const completedJobs = (jobs: number) => `
  insert into udm_sync_queue.job (${jobColumns})
  select case when n % 3 = 0 then 'transfer' else 'step' end,
    case when n % 3 = 0 then jsonb_build_object('runId', run, 'tenant', 'tenant-0', 'fileIds', jsonb_build_array(run * 10))
      else jsonb_build_object('runId', run) end,
    'completed', case when n % 3 = 0 then run || ':' || run * 10 else run::text end,
    'exclusive', 1000000, 3600, 10, now() + interval '10 years', done - interval '20 seconds', done - interval '10 seconds', done,
    done - interval '1 second'
  from (
    select n, (select max(id) from udm_sync.runs) - n % 2000 as run, now() - (n::float8 / ${Math.max(1, jobs)}) * interval '59 minutes' as done
    from generate_series(1, ${jobs}) n
  ) made`;
