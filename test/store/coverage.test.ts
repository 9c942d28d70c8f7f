import fc from 'fast-check';
import { drizzle } from 'drizzle-orm/node-postgres';
import { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as schema from '../../drizzle/schema.ts';
import { subtract } from '../../src/jobs/windows.ts';
import { uncovered } from '../../src/store/coverage.ts';
import { createTestDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new Pool({ connectionString: database.url, max: 1 });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const at = (hour: number) => new Date(Date.UTC(2026, 0, 1, hour));

test('Postgres finds the same gaps as the planner, whatever runs there are', async () => {
  const db = Object.assign(drizzle(pool, { schema }), { $client: pool });
  const stretches = fc.uniqueArray(
    fc.tuple(fc.integer({ min: -5, max: 30 }), fc.integer({ min: 1, max: 6 })),
    {
      selector: ([from]) => from,
      maxLength: 12,
    },
  );
  await fc.assert(
    fc.asyncProperty(stretches, async (list) => {
      await pool.query('truncate udm_sync.runs cascade');
      for (const [from, length] of list)
        await pool.query(
          `insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin) values ('a', 't', 's', $1, $2, 'backfill'), ('b', 't', 's', $1, $2, 'backfill')`,
          [at(from), at(from + length)],
        );
      const range = { from: at(0), to: at(24) };
      const covered = list.map(([from, length]) => ({ from: at(from), to: at(from + length) }));
      expect(await uncovered(db, 'a', range)).toEqual(subtract(range, covered));
    }),
    { numRuns: 60 },
  );
});
