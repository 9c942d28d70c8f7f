import { asc, eq } from 'drizzle-orm';
import { history } from '../../drizzle/schema.ts';
import { chunksOf } from './chunks.ts';
import type { Executor, Transaction } from './database.ts';

export type HistoryLine = typeof history.$inferSelect;

export interface NewHistoryLine {
  readonly runId: number;
  readonly subject: 'run' | 'export' | 'file';
  readonly fileId?: number | undefined;
  readonly from?: string | undefined;
  readonly to: string;
  readonly who: string;
  readonly reason?: string | undefined;
}

/** Appends lines; they are never changed afterwards. */
export async function appendHistory(tx: Transaction, lines: readonly NewHistoryLine[]): Promise<void> {
  for (const chunk of chunksOf(lines))
    await tx.insert(history).values(
      chunk.map(({ runId, subject, fileId, from, to, who, reason }) => ({
        runId,
        subject,
        fileId,
        fromState: from,
        toState: to,
        who,
        reason,
      })),
    );
}

/** A run's whole history, oldest first. */
export function historyOfRun(db: Executor, runId: number): Promise<HistoryLine[]> {
  return db.select().from(history).where(eq(history.runId, runId)).orderBy(asc(history.id));
}
