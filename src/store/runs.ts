import { and, asc, desc, eq, gt, inArray, lt, ne, sql } from 'drizzle-orm';
import type { SQL, SQLWrapper } from 'drizzle-orm';
import { runStates, runs } from '../../drizzle/schema.ts';
import type { RunOrigin, RunState } from '../../drizzle/schema.ts';
import { chunksOf } from './chunks.ts';
import type { Executor, Transaction } from './database.ts';
import { appendHistory } from './history.ts';
import { queueSchema } from './migrate.ts';

export type Run = typeof runs.$inferSelect;
export type { RunOrigin, RunState };

/** States that no worker changes any more. */
export const finalStates: readonly RunState[] = ['done', 'failed', 'cancelled'];

export const unfinishedStates: readonly RunState[] = runStates.filter(
  (state) => !finalStates.includes(state),
);

/** States in which files that are not stored matter: a run that is through has others, of a later attempt. */
export const wantingStates: readonly RunState[] = runStates.filter(
  (state) => !['stored', 'done', 'cancelled'].includes(state),
);

/** By name and not by exclusion: that is how the index `runs_state` finds them. */
const unfinished = inArray(runs.state, [...unfinishedStates]);

export interface NewRun {
  readonly definition: string;
  readonly tenant: string;
  readonly sink: string;
  readonly windowFrom: Date;
  readonly windowTo: Date;
  readonly origin: Exclude<RunOrigin, 'adopt'>;
}

/** Inserts the runs whose window is not there yet; returns only those. */
export async function insertRuns(tx: Transaction, rows: readonly NewRun[], who: string): Promise<Run[]> {
  const inserted: Run[] = [];
  for (const chunk of chunksOf(rows))
    inserted.push(...(await tx.insert(runs).values(chunk).onConflictDoNothing().returning()));
  await appendHistory(
    tx,
    inserted.map((run) => ({ runId: run.id, subject: 'run', to: 'planned', who, reason: run.origin })),
  );
  return inserted;
}

export async function findRun(db: Executor, id: number): Promise<Run | undefined> {
  const [run] = await db.select().from(runs).where(eq(runs.id, id));
  return run;
}

/**
 * The run, locked until the transaction ends: two transfers that finish at once decide one after the other.
 * Every transaction that settles work locks the run first and the queue job second, so none can deadlock.
 */
export async function lockRun(tx: Transaction, id: number): Promise<Run | undefined> {
  const [run] = await tx.select().from(runs).where(eq(runs.id, id)).for('no key update');
  return run;
}

type RunPatch = Partial<
  Pick<
    Run,
    | 'attempt'
    | 'failures'
    | 'stepFailures'
    | 'stepFaults'
    | 'sinkUri'
    | 'reason'
    | 'manifestKey'
    | 'cancelRequestedAt'
    | 'prunedAt'
  > & {
    /** When the next step is due, in ms from now; null: none is. */
    readonly nextStepMs: number | null;
  }
>;

/** The patch as columns, with times on Postgres' clock. */
function columnsOf({ nextStepMs, ...columns }: RunPatch) {
  if (nextStepMs === undefined) return columns;
  const nextStepAt =
    nextStepMs === null ? null : sql`clock_timestamp() + ${nextStepMs / 1000} * interval '1 second'`;
  return { ...columns, nextStepAt };
}

/** Changes columns of a run without a change of state. */
export async function patchRun(tx: Executor, runId: number, patch: RunPatch): Promise<void> {
  await tx
    .update(runs)
    .set({ ...columnsOf(patch), updatedAt: sql`now()` })
    .where(eq(runs.id, runId));
}

/** Moves a run to another state and says so in its history, in the caller's transaction. */
export async function moveRun(
  tx: Transaction,
  run: Pick<Run, 'id' | 'state'>,
  to: RunState,
  who: string,
  reason?: string,
  patch: RunPatch = {},
): Promise<void> {
  await tx
    .update(runs)
    .set({
      stepFailures: 0,
      stepFaults: 0,
      reason: reason ?? null,
      nextStepAt: null,
      ...columnsOf(patch),
      state: to,
      updatedAt: sql`now()`,
      finishedAt: finalStates.includes(to) ? sql`now()` : null,
    })
    .where(eq(runs.id, run.id));
  await appendHistory(tx, [{ runId: run.id, subject: 'run', from: run.state, to, who, reason }]);
}

/** Runs of a definition whose window touches [from, to), by window; adopted entries have no window of ours. */
export function runsTouching(db: Executor, definition: string, from: Date, to: Date): Promise<Run[]> {
  return db
    .select()
    .from(runs)
    .where(
      and(
        eq(runs.definition, definition),
        ne(runs.origin, 'adopt'),
        lt(runs.windowFrom, to),
        gt(runs.windowTo, from),
      ),
    )
    .orderBy(asc(runs.windowFrom));
}

/** The stretch that schedule-planned runs of a definition cover, by two index look-ups. */
export async function scheduledStretch(
  db: Executor,
  definition: string,
): Promise<{ from: Date; to: Date } | undefined> {
  // Written as the partial index `runs_scheduled` has it, so that it serves.
  const ofSchedule = and(eq(runs.definition, definition), sql`origin = 'schedule'`);
  const [first] = await db
    .select({ at: runs.windowFrom })
    .from(runs)
    .where(ofSchedule)
    .orderBy(asc(runs.windowFrom))
    .limit(1);
  // Windows never overlap: the one that begins last ends last.
  const [last] = await db
    .select({ at: runs.windowTo })
    .from(runs)
    .where(ofSchedule)
    .orderBy(desc(runs.windowFrom))
    .limit(1);
  return first && last ? { from: first.at, to: last.at } : undefined;
}

/** How many runs of a definition are neither done, failed nor cancelled. */
export async function countUnfinished(db: Executor, definition: string): Promise<number> {
  const [row] = await db
    .select({ n: sql<string>`count(*)` })
    .from(runs)
    .where(and(eq(runs.definition, definition), unfinished));
  return Number(row?.n ?? 0);
}

/** The run, other than `runId`, whose manifest lies under this key of the sink. */
export async function otherRunAt(
  db: Executor,
  sink: string,
  manifestKey: string,
  runId: number,
): Promise<Run | undefined> {
  const [run] = await db
    .select()
    .from(runs)
    .where(and(eq(runs.sink, sink), eq(runs.manifestKey, manifestKey), ne(runs.id, runId)));
  return run;
}

export function runsById(db: Executor, ids: readonly number[]): Promise<Run[]> {
  return db
    .select()
    .from(runs)
    .where(sql`${runs.id} = any(${sql.param([...ids])}::bigint[])`)
    .orderBy(asc(runs.definition), asc(runs.windowFrom));
}

export interface RunFilter {
  readonly definition?: string | undefined;
  readonly states?: readonly RunState[] | undefined;
  readonly limit: number;
}

/** The newest runs first, by window. */
export function listRuns(db: Executor, { definition, states, limit }: RunFilter): Promise<Run[]> {
  return db
    .select()
    .from(runs)
    .where(
      and(
        definition === undefined ? undefined : eq(runs.definition, definition),
        states === undefined ? undefined : inArray(runs.state, [...states]),
      ),
    )
    .orderBy(desc(runs.windowFrom), desc(runs.id))
    .limit(limit);
}

/** The newest unfinished runs whose last step did not succeed and is tried again. */
export function strugglingRuns(db: Executor, limit: number): Promise<Run[]> {
  return db
    .select()
    .from(runs)
    .where(and(unfinished, gt(runs.stepFailures, 0)))
    .orderBy(desc(runs.windowFrom), desc(runs.id))
    .limit(limit);
}

const stepQueues = sql.raw(`('step')`);
const transferQueues = sql.raw(`('transfer', 'transfer-small')`);

/** A waiting or active queue job of a run; written as the index of migrate.ts has it, so that it serves. */
const liveJob = (queues: SQL, runId: SQLWrapper | number) =>
  sql`select 1 from ${sql.raw(queueSchema)}.job j
    where j.name in ${queues} and j.state < 'completed' and (j.data->>'runId')::bigint = ${runId}`;

/** Whether a transfer of the run is waiting or active in the queue. */
export async function hasTransfers(db: Executor, runId: number): Promise<boolean> {
  const { rows } = await db.execute(sql`${liveJob(transferQueues, runId)} limit 1`);
  return rows.length > 0;
}

/**
 * Unfinished runs for which no queue job is waiting or active: nobody would look at them again. It takes a purged
 * queue or a restored backup to get there; the rescue queues their next step.
 */
export async function stuckRuns(db: Executor): Promise<Pick<Run, 'id' | 'tenant' | 'state'>[]> {
  return db
    .select({ id: runs.id, tenant: runs.tenant, state: runs.state })
    .from(runs)
    .where(
      and(
        unfinished,
        sql`not exists (${liveJob(stepQueues, runs.id)})`,
        sql`not exists (${liveJob(transferQueues, runs.id)})`,
      ),
    )
    .limit(1000);
}
