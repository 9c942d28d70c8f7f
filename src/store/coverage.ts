import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Executor } from './database.ts';

/** No window is longer (src/config/fields.ts), so whatever touches a stretch begins at most this long before it. */
export const longestWindow = sql.raw(`interval '31 days'`);

const gapRow = z.object({ from: z.coerce.date(), to: z.coerce.date() });

/**
 * The stretches of `range` that no window of a definition covers, in order; adopted entries have no window of ours.
 * Found in Postgres, from the index `runs_coverage` alone, and read only as far as the range goes.
 */
export async function uncovered(
  db: Executor,
  definition: string,
  range: { readonly from: Date; readonly to: Date },
): Promise<{ from: Date; to: Date }[]> {
  const from = range.from.toISOString();
  const to = range.to.toISOString();
  const { rows } = await db.execute(sql`
    select greatest(covered_until, ${from}::timestamptz) as "from", least(next_from, ${to}::timestamptz) as "to"
    from (
      select window_from as next_from,
        coalesce(max(window_to) over (order by window_from rows between unbounded preceding and 1 preceding),
          ${from}::timestamptz) as covered_until
      from (
        select window_from, window_to from udm_sync.runs
        where definition = ${definition} and origin <> 'adopt'
          and window_to > ${from}::timestamptz and window_from < ${to}::timestamptz
          and window_from >= ${from}::timestamptz - ${longestWindow}
        union all
        select ${to}::timestamptz, ${to}::timestamptz
      ) stretches
    ) neighbours
    where covered_until < next_from
    order by 1`);
  return z.array(gapRow).parse(rows);
}
