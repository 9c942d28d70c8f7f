import { and, desc, eq, inArray, sql } from 'drizzle-orm';
import { exports } from '../../drizzle/schema.ts';
import type { ExportState } from '../../drizzle/schema.ts';
import type { Executor, Transaction } from './database.ts';
import { appendHistory } from './history.ts';

export type Export = typeof exports.$inferSelect;

const live: ExportState[] = ['intended', 'created'];

/** How many upstream jobs of a tenant are, or may be, live. Hold the tenant's lock while you decide by it. */
export async function countLiveExports(tx: Transaction, tenant: string): Promise<number> {
  const [row] = await tx
    .select({ n: sql<string>`count(*)` })
    .from(exports)
    .where(and(eq(exports.tenant, tenant), sql`state in ('intended', 'created')`));
  return Number(row?.n ?? 0);
}

export async function insertIntent(
  tx: Transaction,
  row: { runId: number; tenant: string; attempt: number; marker: string; request: unknown },
  who: string,
): Promise<void> {
  await tx.insert(exports).values(row);
  await appendHistory(tx, [
    {
      runId: row.runId,
      subject: 'export',
      to: 'intended',
      who,
      reason: `attempt ${row.attempt}, marker ${row.marker}`,
    },
  ]);
}

/** The export of a run that is, or may be, live upstream. */
export async function liveExport(db: Executor, runId: number): Promise<Export | undefined> {
  const [row] = await db
    .select()
    .from(exports)
    .where(and(eq(exports.runId, runId), inArray(exports.state, live)));
  return row;
}

/** The export of a run's latest attempt. */
export async function latestExport(db: Executor, runId: number): Promise<Export | undefined> {
  const [row] = await db
    .select()
    .from(exports)
    .where(eq(exports.runId, runId))
    .orderBy(desc(exports.attempt))
    .limit(1);
  return row;
}

type ExportPatch = Partial<
  Pick<
    Export,
    | 'upstreamJobId'
    | 'upstreamHistoryId'
    | 'statusWord'
    | 'progress'
    | 'polls'
    | 'absentPolls'
    | 'absentSince'
    | 'listings'
    | 'reason'
    | 'createTries'
  >
>;

/** Changes columns of an export without a change of state. */
export async function patchExport(tx: Executor, id: number, patch: ExportPatch): Promise<void> {
  await tx.update(exports).set(patch).where(eq(exports.id, id));
}

/** Notes that the create request is about to be sent, on Postgres' clock, and what it says. */
export async function noteCreateSent(tx: Transaction, id: number, request: unknown): Promise<void> {
  await tx
    .update(exports)
    .set({ request, createSentAt: sql`clock_timestamp()`, createTries: sql`${exports.createTries} + 1` })
    .where(eq(exports.id, id));
}

/** Takes back create request number `tries`, which certainly had no effect, unless another was sent since. */
export async function noteNotCreated(db: Executor, id: number, tries: number): Promise<void> {
  await db
    .update(exports)
    .set({ createSentAt: null, createTries: tries - 1 })
    .where(and(eq(exports.id, id), eq(exports.createTries, tries)));
}

/** Notes what a poll saw, on Postgres' clock. */
export async function notePoll(tx: Transaction, id: number, patch: ExportPatch): Promise<void> {
  await tx
    .update(exports)
    .set({ ...patch, polls: sql`${exports.polls} + 1`, lastPolledAt: sql`clock_timestamp()` })
    .where(eq(exports.id, id));
}

export async function moveExport(
  tx: Transaction,
  row: Pick<Export, 'id' | 'runId' | 'state'>,
  to: ExportState,
  who: string,
  reason?: string,
  patch: ExportPatch = {},
): Promise<void> {
  const ended = !live.includes(to);
  await tx
    .update(exports)
    .set({
      ...patch,
      state: to,
      reason: reason ?? null,
      ...(to === 'created' ? { createdAt: sql`clock_timestamp()` } : {}),
      ...(ended ? { finishedAt: sql`clock_timestamp()` } : {}),
    })
    .where(eq(exports.id, row.id));
  await appendHistory(tx, [{ runId: row.runId, subject: 'export', from: row.state, to, who, reason }]);
}
