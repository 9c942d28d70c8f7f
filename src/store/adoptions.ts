import { and, asc, eq, inArray, ne, or, sql } from 'drizzle-orm';
import { adoptions, exports, runs } from '../../drizzle/schema.ts';
import { chunksOf } from './chunks.ts';
import type { Executor, Transaction } from './database.ts';
import { appendHistory } from './history.ts';
import type { Run } from './runs.ts';

export type Adoption = typeof adoptions.$inferSelect;

export async function findAdoption(db: Executor, definition: string): Promise<Adoption | undefined> {
  const [row] = await db.select().from(adoptions).where(eq(adoptions.definition, definition));
  return row;
}

export function listAdoptions(db: Executor): Promise<Adoption[]> {
  return db.select().from(adoptions).orderBy(asc(adoptions.definition));
}

/** Notes that a look begins, and when the next one is due should this one not end. */
export async function noteLook(
  tx: Transaction,
  row: Pick<Adoption, 'definition' | 'since' | 'nextLookAt'>,
): Promise<void> {
  const { since, nextLookAt } = row;
  await tx
    .insert(adoptions)
    .values(row)
    .onConflictDoUpdate({ target: adoptions.definition, set: { since, nextLookAt } });
}

type LookResult = Pick<Adoption, 'matched' | 'inProgress' | 'waiting'>;

/** Notes what a look saw, on Postgres' clock; `nextLookAt` if it is due sooner than was said. */
export async function noteSeen(
  tx: Transaction,
  definition: string,
  seen: LookResult,
  nextLookAt: Date | undefined,
): Promise<void> {
  await tx
    .update(adoptions)
    .set({
      ...seen,
      reason: null,
      lastLookAt: sql`clock_timestamp()`,
      ...(nextLookAt === undefined ? {} : { nextLookAt }),
    })
    .where(eq(adoptions.definition, definition));
}

/** Notes that a look failed, and when it is tried again. */
export async function noteLookFailed(
  db: Executor,
  definition: string,
  reason: string,
  nextLookAt: Date,
): Promise<void> {
  await db.update(adoptions).set({ reason, nextLookAt }).where(eq(adoptions.definition, definition));
}

/** Which definition has each of these entries already, by entry. */
export async function adoptedBy(
  db: Executor,
  tenant: string,
  entries: readonly string[],
): Promise<Map<string, string>> {
  const owners = new Map<string, string>();
  for (const chunk of chunksOf(entries)) {
    const rows = await db
      .select({ entry: runs.adoptedEntry, definition: runs.definition })
      .from(runs)
      .where(and(eq(runs.tenant, tenant), inArray(runs.adoptedEntry, chunk)));
    for (const { entry, definition } of rows) if (entry !== null) owners.set(entry, definition);
  }
  return owners;
}

/** Which of these ids, of history entries or jobs, belong to exports that we asked for ourselves. */
export async function idsOfOurs(db: Executor, tenant: string, ids: readonly string[]): Promise<Set<string>> {
  const ours = new Set<string>();
  for (const chunk of chunksOf(ids)) {
    const rows = await db
      .select({ job: exports.upstreamJobId, entry: exports.upstreamHistoryId })
      .from(exports)
      .innerJoin(runs, eq(runs.id, exports.runId))
      .where(
        and(
          eq(exports.tenant, tenant),
          ne(runs.origin, 'adopt'),
          or(inArray(exports.upstreamJobId, chunk), inArray(exports.upstreamHistoryId, chunk)),
        ),
      );
    for (const { job, entry } of rows) for (const id of [job, entry]) if (id !== null) ours.add(id);
  }
  return ours;
}

/** A finished history entry of a people's job, to be collected, or to be noted if it came to nothing. */
export interface NewEntry {
  readonly id: string;
  readonly jobId: string | undefined;
  readonly madeAt: Date;
  readonly outcome: 'completed' | 'failed' | 'cancelled';
  readonly statusWord: string | undefined;
  readonly reason: string | undefined;
  /** What the upstream said of it. */
  readonly said: Readonly<Record<string, unknown>>;
}

/**
 * Makes the run of an entry, with its export, already past what a job of ours would have to go through.
 *
 * @returns undefined when the entry has a run: whoever was first has it
 */
export async function insertAdopted(
  tx: Transaction,
  definition: { readonly name: string; readonly tenant: string; readonly sink: string },
  entry: NewEntry,
  who: string,
): Promise<Run | undefined> {
  const { name, tenant, sink } = definition;
  const completed = entry.outcome === 'completed';
  const [run] = await tx
    .insert(runs)
    .values({
      definition: name,
      tenant,
      sink,
      windowFrom: entry.madeAt,
      windowTo: new Date(entry.madeAt.getTime() + 1),
      origin: 'adopt',
      adoptedEntry: entry.id,
      state: completed ? 'collecting' : entry.outcome,
      attempt: 1,
      reason: entry.reason ?? null,
      ...(completed ? {} : { finishedAt: sql`now()` }),
    })
    .onConflictDoNothing()
    .returning();
  if (!run) return undefined;
  await tx.insert(exports).values({
    runId: run.id,
    tenant,
    attempt: 1,
    // Unique like the markers of ours, and never looked for upstream.
    marker: `adopted:${tenant}:${entry.id}`,
    state: entry.outcome,
    request: entry.said,
    upstreamJobId: entry.jobId ?? null,
    upstreamHistoryId: entry.id,
    statusWord: entry.statusWord ?? null,
    ...(completed ? { progress: 100 } : {}),
    reason: entry.reason ?? null,
    createdAt: entry.madeAt,
    finishedAt: sql`clock_timestamp()`,
  });
  const reason = entry.reason ?? `history entry ${entry.id}`;
  await appendHistory(tx, [
    { runId: run.id, subject: 'run', to: run.state, who, reason },
    { runId: run.id, subject: 'export', to: entry.outcome, who, reason },
  ]);
  return run;
}
