import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { exportStates, fileStates, runStates } from '../../drizzle/schema.ts';
import type { RunState } from '../../drizzle/schema.ts';
import { longestWindow } from './coverage.ts';
import type { Executor } from './database.ts';
import { unfinishedStates, wantingStates } from './runs.ts';

/** What the status page shows of all runs at once. Every query is bounded, and finds its rows by index. */

const when = z.coerce.date();
const count = z.coerce.number();
const maybeCount = z.coerce.number().nullable();

const windowRow = z.object({
  id: count,
  definition: z.string(),
  from: when,
  to: when,
  state: z.enum(runStates),
});
export type WindowRow = z.infer<typeof windowRow>;

/** The windows of these definitions that touch [from, to), by definition and time. */
export async function windowsTouching(
  db: Executor,
  definitions: readonly string[],
  from: Date,
  to: Date,
): Promise<WindowRow[]> {
  const { rows } = await db.execute(sql`
    select id, definition, window_from as "from", window_to as "to", state
    from udm_sync.runs
    where definition = any(${sql.param([...definitions])}::text[])
      and window_from >= ${from.toISOString()}::timestamptz - ${longestWindow}
      and window_from < ${to.toISOString()}::timestamptz and window_to > ${from.toISOString()}::timestamptz
    order by definition, window_from`);
  return z.array(windowRow).parse(rows);
}

/** The first window of each definition that any run has. */
export async function firstWindows(db: Executor, definitions: readonly string[]): Promise<Map<string, Date>> {
  const { rows } = await db.execute(sql`
    select name, first.window_from as "from"
    from unnest(${sql.param([...definitions])}::text[]) name
    cross join lateral (
      select window_from from udm_sync.runs where definition = name order by window_from limit 1
    ) first`);
  return new Map(
    z
      .array(z.object({ name: z.string(), from: when }))
      .parse(rows)
      .map(({ name, from }) => [name, from]),
  );
}

const exportRow = z.object({
  runId: count,
  definition: z.string(),
  from: when,
  to: when,
  runState: z.enum(runStates),
  attempt: count,
  state: z.enum(exportStates),
  statusWord: z.string().nullable(),
  progress: maybeCount,
  upstreamJobId: z.string().nullable(),
  since: when,
  lastPolledAt: when.nullable(),
  nextStepAt: when.nullable(),
  reason: z.string().nullable(),
});
export type ExportUnderWay = z.infer<typeof exportRow>;

/** Upstream jobs that are, or may be, alive: the oldest first. */
export async function exportsUnderWay(db: Executor, limit: number): Promise<ExportUnderWay[]> {
  const { rows } = await db.execute(sql`
    select r.id as "runId", r.definition, r.window_from as "from", r.window_to as "to", r.state as "runState",
      e.attempt, e.state, e.status_word as "statusWord", e.progress, e.upstream_job_id as "upstreamJobId",
      coalesce(e.created_at, e.intended_at) as since, e.last_polled_at as "lastPolledAt",
      r.next_step_at as "nextStepAt", r.reason
    from udm_sync.exports e join udm_sync.runs r on r.id = e.run_id
    where e.state in ('intended', 'created')
    order by since, e.id limit ${limit}`);
  return z.array(exportRow).parse(rows);
}

const transferRow = z.object({
  fileId: count,
  runId: count,
  definition: z.string(),
  name: z.string(),
  announcedSize: maybeCount,
  startedAt: when,
  who: z.string().nullable(),
  stored: maybeCount,
  length: maybeCount,
  begunAt: when.nullable(),
});
/** `stored` and `length`: bytes of an upload in parts; null for a file that goes in one piece. */
export type TransferUnderWay = z.infer<typeof transferRow>;

/** Files being copied now, the oldest first, with the worker that took each and how much of it is stored in parts. */
export async function transfersUnderWay(db: Executor, limit: number): Promise<TransferUnderWay[]> {
  const { rows } = await db.execute(sql`
    select f.id as "fileId", f.run_id as "runId", r.definition, f.name, f.announced_size as "announcedSize",
      f.transfer_started_at as "startedAt", taken.who, sent.bytes as stored, u.length, u.begun_at as "begunAt"
    from (
      select * from udm_sync.files where state = 'transferring' order by transfer_started_at, id limit ${limit}
    ) f
    join udm_sync.runs r on r.id = f.run_id
    left join udm_sync.uploads u on u.file_id = f.id
    left join lateral (
      select coalesce(sum(size), 0) as bytes from udm_sync.parts p where p.upload_id = u.id
    ) sent on u.id is not null
    left join lateral (
      select who from udm_sync.history h
      where h.run_id = f.run_id and h.file_id = f.id and h.to_state = 'transferring'
      order by h.id desc limit 1
    ) taken on true
    order by f.transfer_started_at, f.id`);
  return z.array(transferRow).parse(rows);
}

const queueRow = z.object({ transferring: count, waiting: count, waitingBytes: count });

/** How many files are being copied and wait for it, in runs that still want them. */
export async function transferQueue(db: Executor): Promise<z.infer<typeof queueRow>> {
  const { rows } = await db.execute(sql`
    select count(*) filter (where f.state = 'transferring') as transferring,
      count(*) filter (where f.state = 'waiting') as waiting,
      coalesce(sum(f.announced_size) filter (where f.state = 'waiting'), 0) as "waitingBytes"
    from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
    where f.state in ('waiting', 'transferring', 'dead') and f.state <> 'dead'
      and r.state in ${[...wantingStates]}`);
  return queueRow.parse(rows[0]);
}

const expiryRow = z.object({ days: count, files: count, bytes: count });
/** `days`: whole days left, rounded down; negative: overdue. */
export type Expiry = z.infer<typeof expiryRow>;

const notYetSafe = sql`f.state in ('waiting', 'transferring', 'dead')
      -- A run that is through has other files, of a later attempt.
      and r.state in ${[...wantingStates]}`;

/** Files that are upstream and not yet safe, by whole days until the vendor deletes them. */
export async function filesByDaysLeft(db: Executor): Promise<Expiry[]> {
  const { rows } = await db.execute(sql`
    select floor(extract(epoch from f.expires_at - now()) / 86400)::int as days, count(*) as files,
      coalesce(sum(f.announced_size), 0) as bytes
    from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
    where ${notYetSafe}
    group by 1 order by 1`);
  return z.array(expiryRow).parse(rows);
}

const soonRow = z.object({
  runId: count,
  definition: z.string(),
  name: z.string(),
  state: z.enum(fileStates),
  bytes: maybeCount,
  expiresAt: when,
  attempts: count,
  reason: z.string().nullable(),
});
export type ExpiringFile = z.infer<typeof soonRow>;

/** Those of them that the vendor deletes first. */
export async function filesExpiringFirst(db: Executor, limit: number): Promise<ExpiringFile[]> {
  const { rows } = await db.execute(sql`
    select r.id as "runId", r.definition, f.name, f.state, f.announced_size as bytes, f.expires_at as "expiresAt",
      f.attempts, f.reason
    from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
    where ${notYetSafe}
    order by f.expires_at, f.id limit ${limit}`);
  return z.array(soonRow).parse(rows);
}

const activityRow = z.object({ at: when, files: count, bytes: count, errors: count });
/** What happened in one hour or day (UTC) that begins `at`. `errors`: failed attempts, and what was given up. */
export type Activity = z.infer<typeof activityRow>;

/** Files verified and errors in each of the last `length` hours or days, this one included, without a hole. */
export async function activity(db: Executor, unit: 'hour' | 'day', length: number): Promise<Activity[]> {
  const step = sql.raw(`interval '1 ${unit}'`);
  const bucket = (column: string) => sql.raw(`date_trunc('${unit}', ${column}, 'UTC')`);
  const { rows } = await db.execute(sql`
    with stretch as (select ${bucket('now()')} - ${step} * ${length - 1}::int as begun),
    stored as (
      select ${bucket('verified_at')} as at, count(*) as files, sum(size) as bytes
      from udm_sync.files where verified_at >= (select begun from stretch) group by 1
    ),
    troubles as (
      select ${bucket('at')} as at, count(*) as errors from udm_sync.history
      where at >= (select begun from stretch)
        and (to_state in ('failed', 'dead', 'lost', 'vanished') or (from_state = 'transferring' and to_state = 'waiting'))
        -- Work handed back by a worker that stops is none.
        and not (to_state = 'waiting' and coalesce(reason, '') like 'given back%')
      group by 1
    )
    select t.at, coalesce(files, 0) as files, coalesce(bytes, 0) as bytes, coalesce(errors, 0) as errors
    from generate_series((select begun from stretch), now(), ${step}) t(at)
    left join stored on stored.at = t.at left join troubles on troubles.at = t.at
    order by t.at`);
  return z.array(activityRow).parse(rows);
}

export interface RunQuery {
  readonly definition?: string | undefined;
  readonly states?: readonly RunState[] | undefined;
  /** Only windows that touch [from, to). */
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  /** Goes on after this run of an earlier page. */
  readonly after?: { readonly from: Date; readonly id: number } | undefined;
  /** Only runs whose last step failed and is tried again. */
  readonly struggling?: boolean | undefined;
  readonly limit: number;
}

const runRow = windowRow.extend({
  tenant: z.string(),
  sink: z.string(),
  attempt: count,
  reason: z.string().nullable(),
  updatedAt: when,
  nextStepAt: when.nullable(),
  files: count,
  bytes: count,
});
/** `files` and `bytes`: what is verified in the sink. */
export type RunRow = z.infer<typeof runRow>;

/** A page of runs, newest window first, with what each has stored. */
export async function runsPage(db: Executor, query: RunQuery): Promise<RunRow[]> {
  const { definition, states, from, to, after, struggling, limit } = query;
  const { rows } = await db.execute(sql`
    select r.id, r.definition, r.window_from as "from", r.window_to as "to", r.state, r.tenant, r.sink, r.attempt,
      r.reason, r.updated_at as "updatedAt", r.next_step_at as "nextStepAt", kept.files, kept.bytes
    from (
      select * from udm_sync.runs
      where true
        ${definition === undefined ? sql`` : sql`and definition = ${definition}`}
        ${states === undefined ? sql`` : sql`and state in (${sql.raw(states.map((state) => `'${state}'`).join(', '))})`}
        ${from === undefined ? sql`` : sql`and window_to > ${from.toISOString()}::timestamptz and window_from >= ${from.toISOString()}::timestamptz - ${longestWindow}`}
        ${to === undefined ? sql`` : sql`and window_from < ${to.toISOString()}::timestamptz`}
        ${after === undefined ? sql`` : sql`and (window_from, id) < (${after.from.toISOString()}::timestamptz, ${after.id})`}
        ${struggling === true ? sql`and step_failures > 0 and state in ${[...unfinishedStates]}` : sql``}
      order by window_from desc, id desc limit ${limit}
    ) r
    cross join lateral (
      select count(*) as files, coalesce(sum(size), 0) as bytes from udm_sync.files f
      where f.run_id = r.id and f.state in ('verified', 'deleted')
    ) kept
    order by r.window_from desc, r.id desc`);
  return z.array(runRow).parse(rows);
}
