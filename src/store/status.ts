import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Executor } from './database.ts';

const when = z.coerce.date().nullable();
const count = z.coerce.number();

const definitionStatus = z.object({
  definition: z.string(),
  done: count,
  unfinished: count,
  failed: count,
  cancelled: count,
  doneUntil: when,
  lastDoneAt: when,
  oldestUnfinished: when,
});
export type DefinitionStatus = z.infer<typeof definitionStatus>;

/** How each definition stands: one row for each that has ever had a run. */
export async function definitionStatuses(db: Executor): Promise<DefinitionStatus[]> {
  const { rows } = await db.execute(sql`
    select definition,
      count(*) filter (where state = 'done') as "done",
      count(*) filter (where state not in ('done', 'cancelled', 'failed')) as "unfinished",
      count(*) filter (where state = 'failed') as "failed",
      count(*) filter (where state = 'cancelled') as "cancelled",
      max(window_to) filter (where state = 'done') as "doneUntil",
      max(finished_at) filter (where state = 'done') as "lastDoneAt",
      min(window_from) filter (where state not in ('done', 'cancelled', 'failed')) as "oldestUnfinished"
    from udm_sync.runs group by definition order by definition`);
  return z.array(definitionStatus).parse(rows);
}

const riskRow = z.object({
  waiting: count,
  bytes: count,
  dead: count,
  lost: count,
  soonest: when,
});
export type FilesAtRisk = z.infer<typeof riskRow>;

/** Files that are upstream and not yet safe in the sink, and when the vendor deletes the first of them. */
export async function filesAtRisk(db: Executor): Promise<FilesAtRisk> {
  const { rows } = await db.execute(sql`
    select count(*) filter (where f.state in ('waiting', 'transferring')) as "waiting",
      coalesce(sum(f.announced_size) filter (where f.state in ('waiting', 'transferring')), 0) as "bytes",
      count(*) filter (where f.state = 'dead') as "dead",
      count(*) filter (where f.state = 'lost') as "lost",
      min(f.expires_at) filter (where f.state in ('waiting', 'transferring', 'dead')) as "soonest"
    from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
    where f.state in ('waiting', 'transferring', 'dead', 'lost')
      -- A run that is through has other files, of a later attempt.
      and r.state not in ('stored', 'done', 'cancelled')`);
  return riskRow.parse(rows[0]);
}
