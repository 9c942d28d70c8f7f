import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { exportStates, fileStates, runStates } from '../../drizzle/schema.ts';
import type { Executor } from './database.ts';

const count = z.coerce.number();
const when = z.coerce.date();

const fileHit = z.object({
  runId: count,
  definition: z.string(),
  name: z.string(),
  key: z.string(),
  sink: z.string(),
  state: z.enum(fileStates),
  bytes: z.coerce.number().nullable(),
  from: when,
  to: when,
});
export type FileHit = z.infer<typeof fileHit>;

const jobHit = z.object({
  runId: count,
  definition: z.string(),
  attempt: count,
  state: z.enum(exportStates),
  runState: z.enum(runStates),
  upstreamJobId: z.string().nullable(),
  upstreamHistoryId: z.string().nullable(),
  from: when,
  to: when,
});
export type JobHit = z.infer<typeof jobHit>;

/** `text` as it stands in a LIKE pattern. */
function literally(text: string): string {
  return text.replaceAll(/[\\%_]/g, String.raw`\$&`);
}

/**
 * Files by name: those that begin with `text`, by index; or, `anywhere`, those that have it in them or in their key,
 * which reads the whole table.
 */
export async function searchFiles(
  db: Executor,
  text: string,
  where: 'begins' | 'anywhere',
  limit: number,
): Promise<FileHit[]> {
  const pattern = `${where === 'anywhere' ? '%' : ''}${literally(text)}%`;
  const matches =
    where === 'begins' ? sql`name like ${pattern}` : sql`(name ilike ${pattern} or key ilike ${pattern})`;
  const { rows } = await db.execute(sql`
    select f.run_id as "runId", r.definition, f.name, f.key, r.sink, f.state, coalesce(f.size, f.announced_size) as bytes,
      r.window_from as "from", r.window_to as "to"
    from (select * from udm_sync.files where ${matches} limit ${limit}) f
    join udm_sync.runs r on r.id = f.run_id
    order by f.id desc`);
  return z.array(fileHit).parse(rows);
}

/** Exports by the beginning of the upstream's job id or history id, or by the marker in the job's title. */
export async function searchJobs(db: Executor, text: string, limit: number): Promise<JobHit[]> {
  const pattern = `${literally(text)}%`;
  const { rows } = await db.execute(sql`
    select e.run_id as "runId", r.definition, e.attempt, e.state, r.state as "runState",
      e.upstream_job_id as "upstreamJobId", e.upstream_history_id as "upstreamHistoryId",
      r.window_from as "from", r.window_to as "to"
    from udm_sync.exports e join udm_sync.runs r on r.id = e.run_id
    where e.upstream_job_id ilike ${pattern} or e.upstream_history_id ilike ${pattern} or e.marker ilike ${pattern}
    order by e.id desc limit ${limit}`);
  return z.array(jobHit).parse(rows);
}
