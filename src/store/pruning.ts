import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { transact } from './database.ts';
import type { Database, Executor } from './database.ts';

/** What may go: see `prunable`. */
export interface Retention {
  /** Runs that finished before this. */
  readonly before: Date;
  /** No file may go that the upstream may still have: those whose 30 days were over before this have gone there. */
  readonly expiredBefore: Date;
  /** Definitions that leave their files upstream. Of any other, a file that was not deleted there holds its run back. */
  readonly keepingUpstream: readonly string[];
}

/** How many rows went, or would go. */
export interface Pruned {
  readonly runs: number;
  readonly files: number;
  readonly lines: number;
}

export const nothingPruned: Pruned = { runs: 0, files: 0, lines: 0 };

/** Where the next batch begins. */
export interface PruneCursor {
  readonly finishedAt: Date;
  readonly id: number;
}

const runsPerBatch = 50;
const linesPerBatch = 20_000;

/** Runs that are through, old enough, and not pruned yet; written as the partial index `runs_unpruned` has it. */
const old = ({ before }: Retention) =>
  sql`r.state in ('done', 'cancelled') and r.pruned_at is null and r.finished_at < ${before.toISOString()}`;

/** Whether a run's details may go: nothing of it is live, half uploaded, still upstream, or owed a deletion there. */
const prunable = (retention: Retention) => sql`
  ${old(retention)}
  and not exists (select from udm_sync.exports e where e.run_id = r.id and e.state in ('intended', 'created'))
  and not exists (
    select from udm_sync.files f
    where f.run_id = r.id and (
      f.expires_at >= ${retention.expiredBefore.toISOString()}
      or exists (select from udm_sync.uploads u where u.file_id = f.id)
      -- Only the files of the last attempt are ours to delete; those of earlier ones are left to the vendor.
      or (r.state = 'done' and f.state = 'verified'
        and r.definition <> all(${sql.param([...retention.keepingUpstream])}::text[])
        and f.export_id = (select e.id from udm_sync.exports e where e.run_id = r.id order by e.attempt desc limit 1))
    ))`;

const chosen = z.array(z.object({ id: z.coerce.number(), finished_at: z.coerce.date() }));

/**
 * Deletes files and history of up to 50 old runs, in one transaction, and notes on the runs that they are gone. The
 * runs themselves stay: windows are planned by them, so that a pruned one is never exported again. So do the ids of
 * their upstream jobs: adopting must know which jobs were ours.
 *
 * A run with very many lines of history loses those first, 20,000 at a time, and is counted when it is through.
 *
 * @returns what went, and where to go on; no cursor when nothing is left
 */
export function pruneBatch(
  db: Database,
  retention: Retention,
  after: PruneCursor | undefined,
): Promise<Pruned & { readonly next: PruneCursor | undefined }> {
  return transact(db, async (tx) => {
    const beyond = after
      ? sql`and (r.finished_at, r.id) > (${after.finishedAt.toISOString()}, ${after.id})`
      : sql``;
    // Locked, so that none is revived meanwhile; whoever prunes at the same time takes others.
    const { rows } = await tx.execute(sql`
      select r.id, r.finished_at from udm_sync.runs r where ${prunable(retention)} ${beyond}
      order by r.finished_at, r.id limit ${runsPerBatch} for no key update of r skip locked`);
    const runs = chosen.parse(rows);
    const last = runs.at(-1);
    if (!last) return { ...nothingPruned, next: undefined };
    const ids = sql`any(${sql.param(runs.map((run) => run.id))}::bigint[])`;
    const lines = await tx.execute(sql`
      delete from udm_sync.history
      where id = any(array(select id from udm_sync.history where run_id = ${ids} limit ${linesPerBatch}))`);
    const gone = { ...nothingPruned, lines: lines.rowCount ?? 0 };
    if (gone.lines === linesPerBatch) return { ...gone, next: after ?? { finishedAt: new Date(0), id: 0 } };
    const files = await tx.execute(sql`delete from udm_sync.files where run_id = ${ids}`);
    await tx.execute(sql`update udm_sync.runs set pruned_at = now(), updated_at = now() where id = ${ids}`);
    return {
      ...gone,
      runs: runs.length,
      files: files.rowCount ?? 0,
      next: { finishedAt: last.finished_at, id: last.id },
    };
  });
}

const counts = z.object({
  runs: z.coerce.number(),
  files: z.coerce.number(),
  lines: z.coerce.number(),
});

/** How much could be pruned now. Counts it all: a matter of seconds for a million files. */
export async function countPrunable(db: Executor, retention: Retention): Promise<Pruned> {
  const { rows } = await db.execute(sql`
    select count(*) as runs,
      coalesce(sum((select count(*) from udm_sync.files f where f.run_id = r.id)), 0) as files,
      coalesce(sum((select count(*) from udm_sync.history h where h.run_id = r.id)), 0) as lines
    from udm_sync.runs r where ${prunable(retention)}`);
  return counts.parse(rows[0]);
}

/** How many runs are old enough to be pruned, whether or not something holds them back. */
export async function countOld(db: Executor, retention: Retention): Promise<number> {
  const { rows } = await db.execute<{ n: string }>(
    sql`select count(*) as n from udm_sync.runs r where ${old(retention)}`,
  );
  return Number(rows[0]?.n ?? 0);
}
