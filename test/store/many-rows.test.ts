import { sql } from 'drizzle-orm';
import { expect, test } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { openDatabase, transact } from '../../src/store/database.ts';
import { filesOfExport, insertFiles } from '../../src/store/files.ts';
import { historyOfRun } from '../../src/store/history.ts';
import { insertRuns } from '../../src/store/runs.ts';
import { createTestDatabase } from '../support/postgres.ts';

test('more rows than a statement has room for: windows planned at once, files of one export', async () => {
  const created = await createTestDatabase();
  const database = await openDatabase(created.url, 2, createLogger('silent'));
  try {
    const many = 12_000;
    const hour = (n: number) => new Date(Date.UTC(2020, 0, 1) + n * 3_600_000);
    const windows = Array.from({ length: many }, (_, n) => ({
      definition: 'contacts',
      tenant: 'acme',
      sink: 'lake',
      windowFrom: hour(n),
      windowTo: hour(n + 1),
      origin: 'schedule' as const,
    }));
    const runs = await transact(database.db, (tx) => insertRuns(tx, windows, 'test'));
    expect(runs).toHaveLength(many);
    const runId = runs[0]?.id ?? 0;
    await database.db
      .execute(sql`insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request)
      values (${runId}, 'acme', 1, 'm', 'completed', '{}')`);
    const files = Array.from({ length: many }, (_, n) => ({
      runId,
      exportId: 1,
      tenant: 'acme',
      name: `${n}.zip`,
      key: `${n}.zip`,
      expiresAt: new Date(),
    }));
    await transact(database.db, (tx) => insertFiles(tx, files, 'test'));
    expect(await filesOfExport(database.db, 1)).toHaveLength(many);
    // The run's own first line, and one for each file.
    expect(await historyOfRun(database.db, runId)).toHaveLength(many + 1);
  } finally {
    await database.close();
    await created.drop();
  }
});
