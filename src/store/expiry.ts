import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { expiryLevels } from '../../drizzle/schema.ts';
import type { Executor, Transaction } from './database.ts';
import { wantingStates } from './runs.ts';

/** Instants that divide files by when the vendor deletes them. */
export interface ExpiryBounds {
  /** Whatever is deleted by then is worth a warning. */
  readonly warning: Date;
  /** Whatever is deleted by then is critical. */
  readonly critical: Date;
}

/**
 * Files that are upstream only and expire by `until`, with their run: as the partial index `files_expiring` has it,
 * so that it serves. A run that is through has other files, of a later attempt.
 */
const expiring = (until: Date) => sql`
  from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
  where f.state in ('waiting', 'transferring', 'dead') and f.expires_at <= ${until.toISOString()}
    and r.state in ${[...wantingStates]}`;

const expirySummary = z.object({
  warning: z.coerce.number(),
  critical: z.coerce.number(),
  soonest: z.coerce.date().nullable(),
});
export type ExpirySummary = z.infer<typeof expirySummary>;

/** How many files that are not safe have reached each level, and when the vendor deletes the first of them. */
export async function expirySummaryOf(
  db: Executor,
  { warning, critical }: ExpiryBounds,
): Promise<ExpirySummary> {
  const at = critical.toISOString();
  const { rows } = await db.execute(sql`
    select count(*) filter (where f.expires_at > ${at}) as "warning",
      count(*) filter (where f.expires_at <= ${at}) as "critical",
      min(f.expires_at) as "soonest"
    ${expiring(warning)}`);
  return expirySummary.parse(rows[0]);
}

const raisedGroup = z.object({
  runId: z.coerce.number(),
  level: z.enum(expiryLevels),
  files: z.coerce.number(),
  bytes: z.coerce.number(),
  soonest: z.coerce.date(),
});
/** Files of one run that have reached a level. */
export type RaisedGroup = z.infer<typeof raisedGroup>;

/**
 * Notes on each file that has reached a level which one it is, and returns what is new, run by run. Of several
 * workers that ask at once each file is told to one; a file that somebody is busy with is told the next time.
 */
export async function raiseLevels(
  tx: Transaction,
  { warning, critical }: ExpiryBounds,
): Promise<RaisedGroup[]> {
  const { rows } = await tx.execute(sql`
    with due as (
      select f.id, case when f.expires_at <= ${critical.toISOString()} then 'critical' else 'warning' end as level
      ${expiring(warning)}
        and (f.expiry_raised is null
          or (f.expiry_raised = 'warning' and f.expires_at <= ${critical.toISOString()}))
      for update of f skip locked
    ), raised as (
      update udm_sync.files f set expiry_raised = due.level from due where f.id = due.id
      returning f.run_id, due.level, f.announced_size, f.expires_at
    )
    select run_id as "runId", level, count(*) as "files", coalesce(sum(announced_size), 0) as "bytes",
      min(expires_at) as "soonest"
    from raised group by run_id, level order by run_id, level`);
  return z.array(raisedGroup).parse(rows);
}
