import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { benchConfig } from '../../bench/history/bench-config.ts';
import { definitionName, fillHistory } from '../../bench/history/fill.ts';
import { allQuestions } from '../../bench/history/loop.ts';
import { statementsOfAll } from '../../bench/history/measure.ts';
import { planOf, timeOf } from '../../bench/history/plans.ts';
import { openPipeline } from '../../src/jobs/pipeline.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { createLogger } from '../../src/log.ts';
import { uncovered } from '../../src/store/coverage.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { definitionStatuses, filesAtRisk } from '../../src/store/status.ts';
import { createTestDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';

/** The size at which reading a table from end to end would already be the slower way; bench/history.ts has the real one. */
const size = {
  runs: 20_000,
  filesPerRun: 3,
  definitions: 10,
  tenants: 2,
  queueJobs: 10_000,
  largeExport: 500,
  lived: false,
};

let database: TestDatabase;
let client: Client;
let pipeline: OpenPipeline;
beforeAll(async () => {
  database = await createTestDatabase();
  client = new Client({ connectionString: database.url });
  await client.connect();
  const config = await benchConfig(database.url, size, undefined);
  const draining = new AbortController().signal;
  const logger = createLogger('silent');
  pipeline = await openPipeline({ config, url: database.url, logger, draining, working: false });
  await fillHistory(client, size);
});
afterAll(async () => {
  await pipeline.close();
  await client.end();
  await database.drop();
});

/** What has more to read than an index look-up for each row it answers, and how many pages at most. */
const reading: Readonly<Record<string, number>> = {
  'sharedNames (500)': 5000,
  // All that is at risk.
  'status: files, how many': 1000,
  'raiseExpiring: select files': 1000,
};

test('whatever workers, status, runs and run-history ask is found by index, however long the history', async () => {
  const questions = await allQuestions(pipeline, database.url);
  const asked = await statementsOfAll(questions.filter((question) => question.who !== 'queue'));
  expect(asked.length).toBeGreaterThan(60);
  const wrong: string[] = [];
  for (const { who, name, statement } of asked) {
    const { scanned, pages } = await planOf(client, statement);
    const { rows } = await timeOf(client, statement, 1);
    const allowed = reading[name] ?? 250 + 100 * rows;
    if (scanned.length > 0) wrong.push(`${who}, ${name}, reads all of ${scanned.join(', ')}`);
    else if (pages > allowed) wrong.push(`${who}, ${name}, reads ${pages} pages for ${rows} rows`);
  }
  expect(wrong).toEqual([]);
});

test('status by index says what reading everything says', async () => {
  const { rows } = await client.query(`
    select definition, count(*) filter (where state = 'done')::int as done,
      count(*) filter (where state not in ('done', 'cancelled', 'failed'))::int as unfinished,
      count(*) filter (where state = 'failed')::int as failed,
      count(*) filter (where state = 'cancelled')::int as cancelled,
      max(window_to) filter (where state = 'done') as "doneUntil",
      max(finished_at) filter (where state = 'done') as "lastDoneAt",
      min(window_from) filter (where state not in ('done', 'cancelled', 'failed')) as "oldestUnfinished"
    from udm_sync.runs group by definition order by definition`);
  expect(await definitionStatuses(pipeline.db)).toEqual(rows);
  const files = await client.query(`
    select count(*) filter (where f.state in ('waiting', 'transferring'))::int as waiting,
      sum(f.announced_size) filter (where f.state in ('waiting', 'transferring'))::int as bytes,
      count(*) filter (where f.state = 'dead')::int as dead, count(*) filter (where f.state = 'lost')::int as lost,
      min(f.expires_at) filter (where f.state in ('waiting', 'transferring', 'dead')) as soonest
    from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
    where r.state not in ('stored', 'done', 'cancelled')`);
  expect(await filesAtRisk(pipeline.db)).toEqual(files.rows[0]);
});

test('a long history has no gap, and with a hole in it one', async () => {
  const name = definitionName(3);
  const { rows: ends } = await client.query<{ from: Date; to: Date }>(
    'select min(window_from) as "from", max(window_to) as "to" from udm_sync.runs where definition = $1',
    [name],
  );
  const [range] = ends;
  if (!range) throw new Error('the definition has runs');
  expect(await uncovered(pipeline.db, name, range)).toEqual([]);
  const { rows } = await client.query<{ window_from: Date; window_to: Date }>(
    `delete from udm_sync.runs where id = (
      select id from udm_sync.runs where definition = $1 order by window_from offset 100 limit 1)
    returning window_from, window_to`,
    [name],
  );
  expect(await uncovered(pipeline.db, name, range)).toEqual([
    { from: rows[0]?.window_from, to: rows[0]?.window_to },
  ]);
});

test('the index on the table of pg-boss is made again where it is missing', async () => {
  const there = async () => {
    const { rows } = await client.query<{ there: boolean }>(
      `select to_regclass('udm_sync_queue.udm_sync_live_jobs_of_run') is not null as there`,
    );
    return rows;
  };
  expect(await there()).toEqual([{ there: true }]);
  await client.query('drop index udm_sync_queue.udm_sync_live_jobs_of_run');
  await migrateDatabase(database.url);
  await migrateDatabase(database.url);
  expect(await there()).toEqual([{ there: true }]);
});
