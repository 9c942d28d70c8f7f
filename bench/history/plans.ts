import type pg from 'pg';
import { z } from 'zod';
import type { Statement } from './recorder.ts';

/** Tables that grow with history. A sequential scan of one of them is what must not be. */
export const growingTables = ['runs', 'exports', 'files', 'history', 'job_common', 'job'];

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string | undefined;
  readonly 'Index Name'?: string | undefined;
  readonly Plans?: readonly PlanNode[] | undefined;
}
const planNode: z.ZodType<PlanNode> = z.object({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  'Index Name': z.string().optional(),
  get Plans() {
    return z.array(planNode).optional();
  },
});
const pages = { 'Shared Hit Blocks': z.number(), 'Shared Read Blocks': z.number() };
const explained = z.object({
  'QUERY PLAN': z.tuple([z.object({ Plan: z.intersection(planNode, z.object(pages)) })]),
});

/** How Postgres answers a statement. */
export interface Plan {
  /** Growing tables that are read from end to end. */
  readonly scanned: readonly string[];
  readonly indexes: readonly string[];
  /** Pages of 8 KiB that it looked at, in memory or on disk; a page as often as it was looked at. */
  readonly pages: number;
}

/** EXPLAIN (ANALYZE, BUFFERS) of a statement, in a transaction that is rolled back. */
export async function planOf(client: pg.Client, { text, values }: Statement): Promise<Plan> {
  await client.query('begin');
  try {
    const { rows } = await client.query(`explain (analyze, buffers, format json) ${text}`, [...values]);
    const root = explained.parse(rows[0])['QUERY PLAN'][0].Plan;
    const nodes = [...nodesOf(root)];
    const scanned = nodes.flatMap((node) =>
      node['Node Type'] === 'Seq Scan' && growingTables.includes(node['Relation Name'] ?? '')
        ? [node['Relation Name'] ?? '']
        : [],
    );
    const indexes = nodes.flatMap((node) => node['Index Name'] ?? []);
    return {
      scanned: [...new Set(scanned)],
      indexes: [...new Set(indexes)],
      pages: root['Shared Hit Blocks'] + root['Shared Read Blocks'],
    };
  } finally {
    await client.query('rollback');
  }
}

function* nodesOf(node: PlanNode): Generator<PlanNode> {
  yield node;
  for (const child of node.Plans ?? []) yield* nodesOf(child);
}

/** Milliseconds from sending to having all rows, the median of `times`, and how many rows; nothing stays changed. */
export async function timeOf(
  client: pg.Client,
  { text, values }: Statement,
  times: number,
): Promise<{ ms: number; rows: number }> {
  const taken: number[] = [];
  let rows = 0;
  for (let n = 0; n < times; n += 1) {
    await client.query('begin');
    const begun = performance.now();
    const answer = await client.query(text, [...values]);
    taken.push(performance.now() - begun);
    await client.query('rollback');
    rows = answer.rowCount ?? 0;
  }
  taken.sort((a, b) => a - b);
  return { ms: taken[Math.floor(taken.length / 2)] ?? 0, rows };
}
