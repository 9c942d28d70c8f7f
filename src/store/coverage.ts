import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Executor } from './database.ts';

const gapRow = z.object({ from: z.coerce.date(), to: z.coerce.date() });

/** The stretches of `range` that no run of a definition covers, in order: found in Postgres, however long history is. */
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
        where definition = ${definition} and window_to > ${from}::timestamptz and window_from < ${to}::timestamptz
        union all
        select ${to}::timestamptz, ${to}::timestamptz
      ) stretches
    ) neighbours
    where covered_until < next_from
    order by 1`);
  return z.array(gapRow).parse(rows);
}
