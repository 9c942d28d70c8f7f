import type pg from 'pg';
import { z } from 'zod';

/** What a table takes on disk, in bytes. */
export interface TableSize {
  readonly table: string;
  readonly rows: number;
  readonly heap: number;
  readonly indexes: number;
}

const sizeRow = z.object({
  table: z.string(),
  heap: z.coerce.number(),
  indexes: z.coerce.number(),
});

/** The sizes of our tables and of pg-boss's jobs, largest first. Rows are counted. */
export async function tableSizes(client: pg.Client): Promise<TableSize[]> {
  const { rows } = await client.query(`
    select n.nspname || '.' || c.relname as "table", pg_table_size(c.oid) as heap, pg_indexes_size(c.oid) as indexes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and (n.nspname = 'udm_sync' or (n.nspname = 'udm_sync_queue' and c.relname = 'job_common'))
    order by pg_total_relation_size(c.oid) desc`);
  const sizes: TableSize[] = [];
  for (const row of z.array(sizeRow).parse(rows)) {
    const counted = await client.query<{ n: string }>(`select count(*) as n from ${row.table}`);
    sizes.push({ ...row, rows: Number(counted.rows[0]?.n ?? 0) });
  }
  return sizes;
}

/** Bytes that one file and one run add, all their rows and indexes included. */
export interface Growth {
  readonly file: number;
  readonly run: number;
  /** What of a run stays when it has been pruned. */
  readonly prunedRun: number;
}

/** How much one file and one run take, by the sizes of the tables and how many lines of history each has. */
export async function growthOf(client: pg.Client, sizes: readonly TableSize[]): Promise<Growth> {
  const each = (table: string) => {
    const size = sizes.find((known) => known.table === `udm_sync.${table}`);
    return size && size.rows > 0 ? (size.heap + size.indexes) / size.rows : 0;
  };
  const { rows } = await client.query<{
    files: string;
    lines: string;
    runs: string;
    exports: string;
    others: string;
  }>(`
    select (select count(*) from udm_sync.files) as files, (select count(*) from udm_sync.runs) as runs,
      (select count(*) from udm_sync.exports) as exports,
      count(*) filter (where subject = 'file') as lines, count(*) filter (where subject <> 'file') as others
    from udm_sync.history`);
  const count = z
    .object({
      files: z.coerce.number(),
      runs: z.coerce.number(),
      exports: z.coerce.number(),
      lines: z.coerce.number(),
      others: z.coerce.number(),
    })
    .parse(rows[0]);
  return {
    prunedRun: each('runs') + (count.exports / count.runs) * each('exports'),
    file: each('files') + (count.lines / count.files) * each('history'),
    run:
      each('runs') +
      (count.exports / count.runs) * each('exports') +
      (count.others / count.runs) * each('history'),
  };
}
