import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { csvCell } from '../../src/report/csv.ts';
import { entriesWithFiles, windowsIn } from '../../src/report/entries.ts';
import { emptyChart } from '../../src/report/summary.ts';
import { openDatabase } from '../../src/store/database.ts';
import type { DatabaseHandle } from '../../src/store/database.ts';
import { definitionsWithRuns } from '../../src/store/report.ts';
import { createTestDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { Rows } from '../page/rows.ts';

let database: TestDatabase;
let rows: Rows;
let handle: DatabaseHandle;
beforeAll(async () => {
  database = await createTestDatabase();
  rows = new Rows(database.url);
  handle = await openDatabase(database.url, 2, createLogger('error', 'json', 2));
});
afterAll(async () => {
  await handle.close();
  await rows.close();
  await database.drop();
});

const from = new Date('2026-01-01T00:00Z');
const to = new Date('2026-03-01T00:00Z');

test('every window and file is there once, in order, however many there are', async () => {
  // More windows than a page has, most with few files, one with more files than a page, one with exactly a page.
  await rows.sql(`
    with planned as (
      insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, finished_at)
      select 'many', 'acme', 'lake', at, at + interval '1 hour', 'schedule', 'done', now()
      from generate_series('2026-01-01T00:00Z'::timestamptz, '2026-02-01T00:00Z', '1 hour') at
      order by random() returning id, window_from
    ), exported as (
      insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request)
      select id, 'acme', 1, 'm' || id, 'completed', '{}' from planned returning id, run_id
    )
    insert into udm_sync.files (run_id, export_id, tenant, name, key, state, size, crc32, proof, verified_at, expires_at)
    select run_id, e.id, 'acme', 'f' || n, 'k' || run_id || '/' || n, 'verified', 10, '00000000', 'size', now(), now()
    from exported e join planned p on p.id = e.run_id,
      generate_series(1, case window_from when '2026-01-05T00:00Z' then 4500 when '2026-01-06T00:00Z' then 2000 else 3 end) n`);
  await rows.run({ definition: 'other', from, state: 'done' });
  expect(await definitionsWithRuns(handle.db)).toEqual(['many', 'other']);

  const windows: string[] = [];
  const files = new Map<number, string[]>();
  let run = 0;
  const scope = { from, to, definitions: [], now: new Date() };
  for await (const entry of entriesWithFiles(handle.db, scope, { name: 'many', settings: undefined })) {
    if (entry.kind === 'gap') throw new Error('nothing is owed');
    if (entry.kind === 'run') {
      windows.push(entry.run.from.toISOString());
      run = entry.run.id;
      files.set(run, []);
      continue;
    }
    expect(entry.file.runId).toBe(run);
    files.get(run)?.push(entry.file.key);
  }
  expect(windows).toHaveLength(31 * 24 + 1);
  expect(windows).toEqual(windows.toSorted());
  const all = [...files.values()].flat();
  expect(new Set(all).size).toBe(all.length);
  expect(all).toHaveLength(4500 + 2000 + 3 * (31 * 24 - 1));
});

test('pages are found by index', async () => {
  const [plan] = await rows.sql<{ 'QUERY PLAN': unknown }>(`
    explain (format json) select * from udm_sync.files where run_id = any('{1}') and (run_id, id) > (1, 5)
    order by run_id, id limit 2000`);
  expect(JSON.stringify(plan)).toMatch(/"Index Name":"files_run"/);
});

test.each([
  ['=1+1', "'=1+1"],
  ['+1', "'+1"],
  ['-1', "'-1"],
  ['@SUM(A1)', "'@SUM(A1)"],
  [' =1', "' =1"],
  ['\uff1d1', "'\uff1d1"],
  ['\t=1', String.raw`\t=1`],
  ['a\r\n=b', String.raw`a\r\n=b`],
  ['a,"b"', '"a,""b"""'],
  ['plain-name=1.zip', 'plain-name=1.zip'],
  [-5, '-5'],
  [true, 'true'],
  [null, ''],
])('the cell of %j is %j', (value, cell) => {
  expect(csvCell(value)).toBe(cell);
});

test('a stretch has as many windows as its grid', () => {
  const hour = 3_600_000;
  const at = (time: string) => new Date(`2026-01-01T${time}Z`);
  expect(windowsIn(at('00:00'), at('03:00'), hour)).toBe(3);
  expect(windowsIn(at('00:30'), at('03:00'), hour)).toBe(3);
  expect(windowsIn(at('00:30'), at('02:10'), hour)).toBe(3);
});

test.each([
  ['2026-01-01T00:00Z', '2026-01-02T00:00Z', 'hour', 24],
  ['2026-01-01T00:30Z', '2026-01-01T01:30Z', 'hour', 2],
  ['2026-01-01T00:00Z', '2026-02-01T00:00Z', 'day', 31],
  ['2024-01-15T00:00Z', '2026-02-01T00:00Z', 'month', 25],
])('from %s to %s, a bar is for each %s', (begin, end, unit, bars) => {
  const chart = emptyChart(new Date(begin), new Date(end));
  expect([chart.unit, chart.bars.length]).toEqual([unit, bars]);
});
