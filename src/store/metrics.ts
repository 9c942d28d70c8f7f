import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { z } from 'zod';
import { queueSchema } from './migrate.ts';
import { unfinishedStates, wantingStates } from './runs.ts';

/** Queries behind the metrics. Each is served by an index, but for `readTotals`. */
type Reader = ReturnType<typeof drizzle>;

const count = z.coerce.number();
/** Seconds. */
const seconds = z.coerce.number().nullable();

const progressRow = z.object({
  definition: z.string(),
  /** Unix time of the last run that was done. */
  lastSuccess: seconds,
  lastSuccessAge: seconds,
  /** From the end of the last window up to which all are done, until now. */
  windowLag: seconds,
  struggling: count,
});
export type DefinitionProgress = z.infer<typeof progressRow>;

/**
 * How far each of these definitions has come. A window that was cancelled does not hold back; one that failed does.
 * Only windows from the first one that a schedule planned are looked at: a backfill of older ones is no lag.
 */
async function readProgress(db: Reader, definitions: readonly string[]): Promise<DefinitionProgress[]> {
  const { rows } = await db.execute(sql`
    select d.definition,
      extract(epoch from d.last_success) as "lastSuccess",
      extract(epoch from now() - d.last_success) as "lastSuccessAge",
      extract(epoch from now() - least(d.open, d.failed, d.planned_to)) as "windowLag",
      d.struggling
    from (
      select named.definition,
        (select max(finished_at) from udm_sync.runs r
          where r.definition = named.definition and r.state = 'done') as last_success,
        (select min(window_from) from udm_sync.runs r
          where r.definition = named.definition and r.state in ${[...unfinishedStates]}
            and r.window_from >= first.at) as open,
        (select min(window_from) from udm_sync.runs r
          where r.definition = named.definition and r.state = 'failed' and r.window_from >= first.at) as failed,
        (select window_to from udm_sync.runs r
          where r.definition = named.definition and r.origin = 'schedule'
          order by window_from desc limit 1) as planned_to,
        (select count(*) from udm_sync.runs r
          where r.definition = named.definition and r.state in ${[...unfinishedStates]}
            and r.step_failures > 0) as struggling
      from unnest(${sql.param([...definitions])}::text[]) as named(definition)
      left join lateral (
        select window_from as at from udm_sync.runs r
        where r.definition = named.definition and r.origin = 'schedule'
        order by window_from limit 1
      ) first on true
    ) d`);
  return z.array(progressRow).parse(rows);
}

const unsafeRow = z.object({
  definition: z.string(),
  state: z.enum(['waiting', 'transferring', 'dead', 'lost']),
  n: count,
  /** Until the vendor deletes the first of them; negative if that should have happened. */
  headroom: seconds,
  /** By whole days left, below each bound and not below the one before. */
  under1: count,
  under3: count,
  under10: count,
  under20: count,
});
export type UnsafeFiles = z.infer<typeof unsafeRow>;

/** Files that are not in the sink, of runs that need them, and how long the vendor still keeps them. */
async function readUnsafeFiles(db: Reader): Promise<UnsafeFiles[]> {
  const left = (from: number | undefined, to: number) => {
    const below = sql`f.expires_at < now() + make_interval(days => ${to})`;
    const notBelow = sql`f.expires_at >= now() + make_interval(days => ${from})`;
    return sql`count(*) filter (where ${from === undefined ? below : sql`${below} and ${notBelow}`})`;
  };
  const { rows } = await db.execute(sql`
    select r.definition, f.state, count(*) as n,
      extract(epoch from min(f.expires_at) - now()) as headroom,
      ${left(undefined, 1)} as under1, ${left(1, 3)} as under3,
      ${left(3, 10)} as under10, ${left(10, 20)} as under20
    from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
    where f.state in ('waiting', 'transferring', 'dead', 'lost')
      -- A run that is through has other files, of a later attempt.
      and r.state in ${[...wantingStates]}
    group by 1, 2`);
  return z.array(unsafeRow).parse(rows);
}

const queueRow = z.object({
  queue: z.enum(['step', 'transfer', 'transfer-small']),
  /** `ready`: due and not taken; `deferred`: due later. */
  state: z.enum(['ready', 'deferred', 'active']),
  n: count,
  /** Seconds that the one that is due longest has waited. */
  oldest: seconds,
});
export type QueueDepth = z.infer<typeof queueRow>;

async function readQueue(db: Reader): Promise<QueueDepth[]> {
  const { rows } = await db.execute(sql`
    select name as queue,
      case when state = 'active' then 'active' when start_after > now() then 'deferred' else 'ready' end as state,
      count(*) as n, extract(epoch from now() - min(greatest(start_after, created_on))) as oldest
    from ${sql.raw(queueSchema)}.job
    where name in ('step', 'transfer', 'transfer-small') and state in ('created', 'retry', 'active')
    group by 1, 2`);
  return z.array(queueRow).parse(rows);
}

const named = z.object({ name: z.string(), n: count });
type Named = z.infer<typeof named>;

/** What the database knows of how things stand now. Times are Postgres' own, in seconds. */
export interface StateReading {
  readonly progress: readonly DefinitionProgress[];
  readonly unsafe: readonly UnsafeFiles[];
  readonly queue: readonly QueueDepth[];
  /** Upstream jobs that are, or may be, live, by tenant. */
  readonly liveExports: readonly Named[];
  /** Unfinished uploads that are noted, by sink. */
  readonly uploads: readonly Named[];
}

const runCount = z.object({ definition: z.string(), state: z.string(), n: count });
const fileCount = z.object({ state: z.string(), n: count });

/** Counts of everything there is: these look at every row. */
export interface TotalsReading {
  readonly runs: readonly z.infer<typeof runCount>[];
  readonly files: readonly z.infer<typeof fileCount>[];
}

export interface MetricsReader {
  /** Cheap: a few look-ups in indexes. */
  readState(definitions: readonly string[]): Promise<StateReading>;
  /** Less than a second for two million files. */
  readTotals(): Promise<TotalsReading>;
  close(): Promise<void>;
}

/** A query that takes longer is ended by Postgres, and given up here should Postgres not answer at all. */
const limitMs = { connect: 2_000, query: 15_000 };

/**
 * Connections of its own, at most two: scrapes must neither wait for those of the worker nor take them away. Nothing
 * is contacted until the first query.
 */
export function openMetricsReader(url: string): MetricsReader {
  const pool = new pg.Pool({
    connectionString: url,
    max: 2,
    application_name: 'udm-sync metrics',
    connectionTimeoutMillis: limitMs.connect,
    statement_timeout: limitMs.query,
    query_timeout: limitMs.query + 1_000,
    keepAlive: true,
  });
  // An idle connection that breaks is replaced; the next query says if that is not possible.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const db = drizzle(pool);
  return {
    async readState(definitions) {
      const progress = await readProgress(db, definitions);
      const unsafe = await readUnsafeFiles(db);
      const queue = await readQueue(db);
      const exports = await db.execute(sql`
        select tenant as name, count(*) as n from udm_sync.exports
        where state in ('intended', 'created') group by 1`);
      const uploads = await db.execute(sql`
        select sink as name, count(*) as n from udm_sync.uploads group by 1`);
      return {
        progress,
        unsafe,
        queue,
        liveExports: z.array(named).parse(exports.rows),
        uploads: z.array(named).parse(uploads.rows),
      };
    },
    async readTotals() {
      const runs = await db.execute(
        sql`select definition, state, count(*) as n from udm_sync.runs group by 1, 2`,
      );
      const files = await db.execute(sql`select state, count(*) as n from udm_sync.files group by 1`);
      return { runs: z.array(runCount).parse(runs.rows), files: z.array(fileCount).parse(files.rows) };
    },
    close: () => pool.end(),
  };
}
