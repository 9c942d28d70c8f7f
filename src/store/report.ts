import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { fileStates, proofLevels, runOrigins, runStates } from '../../drizzle/schema.ts';
import type { Executor } from './database.ts';

/** What a report reads: pages found by index, so that memory is bounded however long history is. */

const when = z.coerce.date();
const count = z.coerce.number();
const maybeCount = z.coerce.number().nullable();

/** Names of all definitions that have runs, by jumping from one to the next in the index. */
export async function definitionsWithRuns(db: Executor): Promise<string[]> {
  const { rows } = await db.execute(sql`
    with recursive known(definition) as (
      (select definition from udm_sync.runs order by definition limit 1)
      union all
      select (select definition from udm_sync.runs r where r.definition > known.definition order by definition limit 1)
      from known where known.definition is not null
    )
    select definition from known where definition is not null`);
  return z
    .array(z.object({ definition: z.string() }))
    .parse(rows)
    .map((row) => row.definition);
}

const reportRun = z.object({
  id: count,
  definition: z.string(),
  tenant: z.string(),
  sink: z.string(),
  sinkUri: z.string().nullable(),
  from: when,
  to: when,
  origin: z.enum(runOrigins),
  entry: z.string().nullable(),
  state: z.enum(runStates),
  attempt: count,
  reason: z.string().nullable(),
  manifestKey: z.string().nullable(),
  createdAt: when,
  finishedAt: when.nullable(),
  files: count,
  verified: count,
  deleted: count,
  waiting: count,
  dead: count,
  lost: count,
  bytes: count,
  bySize: count,
  byChecksum: count,
  byRead: count,
});
/**
 * A run with its files counted. `verified`: in the sink and still upstream; `deleted`: in the sink and no longer
 * upstream; `waiting`: neither copied nor given up; `bytes`: of the verified and the deleted; `by…`: their proofs.
 */
export type ReportRun = z.infer<typeof reportRun>;

export interface ReportRange {
  readonly definition: string;
  /** Only windows that begin in [from, to). */
  readonly from: Date;
  readonly to: Date;
}

/** A page of a definition's runs by window, after the one named. */
export async function reportRuns(
  db: Executor,
  { definition, from, to }: ReportRange,
  after: Pick<ReportRun, 'from' | 'id'> | undefined,
  limit: number,
): Promise<ReportRun[]> {
  const { rows } = await db.execute(sql`
    select r.id, r.definition, r.tenant, r.sink, r.sink_uri as "sinkUri", r.window_from as "from", r.window_to as "to",
      r.origin, r.adopted_entry as entry, r.state, r.attempt, r.reason, r.manifest_key as "manifestKey",
      r.created_at as "createdAt", r.finished_at as "finishedAt", counted.*
    from (
      select * from udm_sync.runs
      where definition = ${definition} and window_from < ${to.toISOString()}::timestamptz
        and window_from >= ${(after?.from ?? from).toISOString()}::timestamptz
        ${after ? sql`and (window_from, id) > (${after.from.toISOString()}::timestamptz, ${after.id})` : sql``}
      order by window_from, id limit ${limit}
    ) r
    cross join lateral (
      select count(*) as files, count(*) filter (where f.state = 'verified') as verified,
        count(*) filter (where f.state = 'deleted') as deleted,
        count(*) filter (where f.state in ('waiting', 'transferring')) as waiting,
        count(*) filter (where f.state = 'dead') as dead, count(*) filter (where f.state = 'lost') as lost,
        coalesce(sum(f.size) filter (where f.state in ('verified', 'deleted')), 0) as bytes,
        count(*) filter (where f.state in ('verified', 'deleted') and f.proof = 'size') as "bySize",
        count(*) filter (where f.state in ('verified', 'deleted') and f.proof = 'checksum') as "byChecksum",
        count(*) filter (where f.state in ('verified', 'deleted') and f.proof = 'read') as "byRead"
      from udm_sync.files f where f.run_id = r.id
    ) counted
    order by r.window_from, r.id`);
  return z.array(reportRun).parse(rows);
}

const reportFile = z.object({
  id: count,
  runId: count,
  attempt: count,
  name: z.string(),
  key: z.string(),
  state: z.enum(fileStates),
  announcedSize: maybeCount,
  size: maybeCount,
  crc32: z.string().nullable(),
  etag: z.string().nullable(),
  proof: z.enum(proofLevels).nullable(),
  attempts: count,
  reason: z.string().nullable(),
  foundAt: when,
  verifiedAt: when.nullable(),
  deletedAt: when.nullable(),
  expiresAt: when,
});
/** A file as a report shows it. `attempt`: of the run, that made it; `attempts`: to copy it. */
export type ReportFile = z.infer<typeof reportFile>;

/** A page of the files of some runs, by run and then as they were found, after the one named. */
export async function reportFiles(
  db: Executor,
  runIds: readonly number[],
  after: Pick<ReportFile, 'runId' | 'id'> | undefined,
  limit: number,
): Promise<ReportFile[]> {
  const { rows } = await db.execute(sql`
    select f.id, f.run_id as "runId", e.attempt, f.name, f.key, f.state, f.announced_size as "announcedSize", f.size,
      f.crc32, f.etag, f.proof, f.attempts, f.reason, f.found_at as "foundAt", f.verified_at as "verifiedAt",
      f.deleted_at as "deletedAt", f.expires_at as "expiresAt"
    from (
      select * from udm_sync.files
      where run_id = any(${sql.param([...runIds])}::bigint[])
        ${after ? sql`and (run_id, id) > (${after.runId}, ${after.id})` : sql``}
      order by run_id, id limit ${limit}
    ) f
    join udm_sync.exports e on e.id = f.export_id
    order by f.run_id, f.id`);
  return z.array(reportFile).parse(rows);
}
