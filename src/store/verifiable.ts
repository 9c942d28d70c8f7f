import { and, asc, eq, gt, inArray, lt, or } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { runs } from '../../drizzle/schema.ts';
import type { Executor } from './database.ts';
import type { Run, RunState } from './runs.ts';

/** States of a run whose objects must all be in the sink. */
const verifiableStates: readonly RunState[] = ['stored', 'done'];

export function isVerifiable(run: Pick<Run, 'state'>): boolean {
  return verifiableStates.includes(run.state);
}

export interface VerifiableFilter {
  /** All if there is none. */
  readonly definitions: readonly string[];
  /** Only windows that reach beyond this instant. */
  readonly from?: Date | undefined;
  /** Only windows that begin before this instant. */
  readonly to?: Date | undefined;
}

const pageSize = 100;

/** Runs whose files are all stored, page by page, by definition and window. */
export async function* verifiableRuns(
  db: Executor,
  { definitions, from, to }: VerifiableFilter,
): AsyncGenerator<Run[]> {
  let after: SQL | undefined;
  for (;;) {
    const page = await db
      .select()
      .from(runs)
      .where(
        and(
          inArray(runs.state, [...verifiableStates]),
          definitions.length > 0 ? inArray(runs.definition, [...definitions]) : undefined,
          from && gt(runs.windowTo, from),
          to && lt(runs.windowFrom, to),
          after,
        ),
      )
      .orderBy(asc(runs.definition), asc(runs.windowFrom), asc(runs.id))
      .limit(pageSize);
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (!last || page.length < pageSize) return;
    after = or(
      gt(runs.definition, last.definition),
      and(
        eq(runs.definition, last.definition),
        or(
          gt(runs.windowFrom, last.windowFrom),
          // Two adopted entries may have been made at the same time.
          and(eq(runs.windowFrom, last.windowFrom), gt(runs.id, last.id)),
        ),
      ),
    );
  }
}
