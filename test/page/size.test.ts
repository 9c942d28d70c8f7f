import { afterAll, beforeAll, expect, test } from 'vitest';
import { makePlace } from './place.ts';
import type { Place } from './place.ts';

/** 10,000 runs of four definitions, 20 files each, three lines of history each. */
const runs = 10_000;
const filesEach = 20;

let place: Place;
beforeAll(async () => {
  const start = new Date(Math.floor(Date.now() / 3_600_000 - 2600) * 3_600_000).toISOString();
  const base = {
    tenant: 'acme',
    sink: 'lake',
    source: 'UCSX',
    type: 'contacts',
    windows: { length: '1h', start },
  };
  const names = ['a', 'b', 'c', 'd'];
  place = await makePlace({ definitions: Object.fromEntries(names.map((name) => [name, base])) });
  const { rows } = place;
  await rows.sql(
    `insert into udm_sync.runs (definition, tenant, sink, window_from, window_to, origin, state, attempt, finished_at)
     select chr(97 + n % 4), 'acme', 'lake', at, at + interval '1 hour', 'schedule',
       case when n % 500 = 0 then 'failed' else 'done' end, 1, at + interval '2 hours'
     from generate_series(0, $1::int - 1) n, lateral (select date_trunc('hour', now()) - interval '2 hours' - (n / 4) * interval '1 hour' as at) w`,
    [runs],
  );
  await rows.sql(
    `insert into udm_sync.exports (run_id, tenant, attempt, marker, state, request, upstream_job_id)
     select id, 'acme', 1, 'm' || id, 'completed', '{}', 'job-' || id from udm_sync.runs`,
  );
  await rows.sql(
    `insert into udm_sync.files (run_id, export_id, tenant, name, key, state, size, crc32, proof, verified_at, deleted_at, expires_at)
     select e.run_id, e.id, 'acme', 'file-' || e.run_id || '-' || n, 'k/' || e.run_id || '/' || n, 'deleted', 1000, '00000000', 'size',
       r.finished_at, r.finished_at, r.finished_at + interval '30 days'
     from udm_sync.exports e join udm_sync.runs r on r.id = e.run_id, generate_series(1, $1::int) n`,
    [filesEach],
  );
  await rows.sql(
    `insert into udm_sync.history (run_id, file_id, subject, from_state, to_state, who, at)
     select run_id, id, 'file', step[1], step[2], 'w', verified_at
     from udm_sync.files, (values (array['waiting', 'transferring']), (array['transferring', 'verified']), (array['verified', 'deleted'])) s(step)`,
  );
  await rows.sql('vacuum analyze');
}, 300_000);
afterAll(() => place[Symbol.asyncDispose]());

test.each([
  '/',
  '/?month=2026-01',
  '/runs',
  '/runs?state=failed',
  '/definitions/a',
  '/search?q=file-77-1',
  '/runs/77',
])('%s of 10,000 runs and 200,000 files is answered, in a page of bounded size', async (path) => {
  const answer = await place.ask(path);
  expect(answer.status).toBe(200);
  expect(answer.body.length).toBeLessThan(600_000);
});

test('no query of the usual pages reads a large table from end to end', async () => {
  const before = await scans();
  for (const path of [
    '/?month=2026-02',
    '/search?q=file-78',
    '/runs/78',
    '/runs?definition=b',
    '/definitions/b',
  ])
    expect((await place.ask(path)).status, path).toBe(200);
  expect(await scans()).toEqual(before);
  // What is only inside a name is looked for everywhere, and that is seen here.
  expect((await place.ask('/search?q=78-1x')).status).toBe(200);
  expect(await scans()).not.toEqual(before);
});

/** Whole reads, so far, of the tables that grow with files. */
async function scans() {
  // A connection that ends says what it has read; the page opens others.
  await place.rows.sql(
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and application_name = 'udm-sync'`,
  );
  await expect.poll(async () => (await place.ask('/runs/1')).status).toBe(200);
  return place.rows.sql(
    `select relname, seq_scan from pg_stat_user_tables where schemaname = 'udm_sync' and relname in ('files', 'history') order by 1`,
  );
}
