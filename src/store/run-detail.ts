import { and, asc, count as counted, desc, eq, gt, sql } from 'drizzle-orm';
import { exports, files, history } from '../../drizzle/schema.ts';
import type { FileState } from '../../drizzle/schema.ts';
import type { Executor } from './database.ts';
import type { Export } from './exports.ts';
import type { File } from './files.ts';
import type { HistoryLine } from './history.ts';

/** Every upstream job that a run has had, newest first. */
export function exportsOfRun(db: Executor, runId: number): Promise<Export[]> {
  return db.select().from(exports).where(eq(exports.runId, runId)).orderBy(desc(exports.attempt));
}

/** How many files of a run are in each state, and how many bytes those have. */
export async function fileTotals(
  db: Executor,
  runId: number,
): Promise<{ state: FileState; files: number; bytes: number }[]> {
  return db
    .select({
      state: files.state,
      files: counted(),
      bytes: sql<number>`coalesce(sum(coalesce(${files.size}, ${files.announcedSize})), 0)`.mapWith(Number),
    })
    .from(files)
    .where(eq(files.runId, runId))
    .groupBy(files.state)
    .orderBy(files.state);
}

/** A page of a run's files, in the order they were found, after the file of that id. */
export function filesOfRunAfter(db: Executor, runId: number, after: number, limit: number): Promise<File[]> {
  return db
    .select()
    .from(files)
    .where(and(eq(files.runId, runId), gt(files.id, after)))
    .orderBy(asc(files.id))
    .limit(limit);
}

export type HistoryEntry = HistoryLine & { readonly file: string | null };

/** A page of a run's history, oldest first, after the line of that id, each with the name of its file. */
export async function historyOfRunAfter(
  db: Executor,
  runId: number,
  after: number,
  limit: number,
): Promise<HistoryEntry[]> {
  const rows = await db
    .select({ line: history, file: files.name })
    .from(history)
    .leftJoin(files, eq(files.id, history.fileId))
    .where(and(eq(history.runId, runId), gt(history.id, after)))
    .orderBy(asc(history.id))
    .limit(limit);
  return rows.map(({ line, file }) => ({ ...line, file }));
}
