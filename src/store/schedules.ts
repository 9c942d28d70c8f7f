import { asc, eq } from 'drizzle-orm';
import { schedules } from '../../drizzle/schema.ts';
import type { Executor, Transaction } from './database.ts';

export type Schedule = typeof schedules.$inferSelect;

export async function findSchedule(db: Executor, definition: string): Promise<Schedule | undefined> {
  const [row] = await db.select().from(schedules).where(eq(schedules.definition, definition));
  return row;
}

export function listSchedules(db: Executor): Promise<Schedule[]> {
  return db.select().from(schedules).orderBy(asc(schedules.definition));
}

/** Notes that a schedule has fired, and when it fires next. */
export async function noteTick(tx: Transaction, row: Schedule): Promise<void> {
  await tx.insert(schedules).values(row).onConflictDoUpdate({ target: schedules.definition, set: row });
}
