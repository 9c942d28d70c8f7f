import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Executor } from './database.ts';
import { unfinishedStates, wantingStates } from './runs.ts';

const when = z.coerce.date().nullable();
const count = z.coerce.number();

const statusRow = z.object({
  done: count,
  unfinished: count,
  failed: count,
  cancelled: count,
  doneUntil: when,
  lastDoneAt: when,
  oldestUnfinished: when,
});
export type DefinitionStatus = { readonly definition: string } & z.infer<typeof statusRow>;

/**
 * How each definition stands: one row for each that has ever had a run.
 *
 * One statement for each, so that none takes longer the more definitions there are. Names and extremes are single index
 * look-ups; what is counted is counted from the index `runs_state` alone.
 */
export async function definitionStatuses(db: Executor): Promise<DefinitionStatus[]> {
  const statuses: DefinitionStatus[] = [];
  for (const name of await definitionNames(db)) statuses.push(await definitionStatus(db, name));
  return statuses;
}

/** Every definition that has a run, found by one look-up each. */
async function definitionNames(db: Executor): Promise<string[]> {
  const { rows } = await db.execute(sql`
    with recursive known as (
      (select definition from udm_sync.runs order by definition limit 1)
      union all
      select (select r.definition from udm_sync.runs r where r.definition > known.definition order by r.definition limit 1)
      from known where known.definition is not null
    )
    select definition from known where definition is not null order by definition`);
  return z
    .array(z.object({ definition: z.string() }))
    .parse(rows)
    .map((row) => row.definition);
}

async function definitionStatus(db: Executor, definition: string): Promise<DefinitionStatus> {
  const of = sql`from udm_sync.runs where definition = ${definition} and state`;
  const unfinished = sql`in ${[...unfinishedStates]}`;
  const { rows } = await db.execute(sql`
    select (select count(*) ${of} = 'done') as "done",
      (select count(*) ${of} ${unfinished}) as "unfinished",
      (select count(*) ${of} = 'failed') as "failed",
      (select count(*) ${of} = 'cancelled') as "cancelled",
      (select max(window_to) ${of} = 'done') as "doneUntil",
      (select max(finished_at) ${of} = 'done') as "lastDoneAt",
      (select min(window_from) ${of} ${unfinished}) as "oldestUnfinished"`);
  return { definition, ...statusRow.parse(rows[0]) };
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
    where f.state in ('waiting', 'transferring', 'dead', 'lost') and r.state in ${[...wantingStates]}`);
  return riskRow.parse(rows[0]);
}
