import { afterAll, beforeAll, expect, test } from 'vitest';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { forbid, leaks } from './processes.ts';
import { definition, makePlace, s3Sink, tenant } from './place.ts';
import type { Place } from './place.ts';

/**
 * Every command of every test here is checked for the secrets of its config file (processes.ts). These are the ones
 * that are likeliest to spill them: at the highest log level, and failing in the middle of things.
 */

let place: Place;
let s3: S3Server;
beforeAll(async () => {
  [place, s3] = await Promise.all([makePlace(), startS3Server()]);
  forbid(s3.credentials.secretAccessKey);
  const bucket = await s3.createBucket();
  await place.configure({
    sinks: { bucket: s3Sink(s3, bucket), disk: { type: 'filesystem', directory: './stored' } },
    definitions: {
      fine: definition({ sink: 'bucket' }),
      failing: definition({ type: 'Interactions' }),
    },
    log: { level: 'trace', format: 'json' },
  });
});
afterAll(async () => {
  await place[Symbol.asyncDispose]();
  await s3.stop();
});

test('what looks for leaks finds them', () => {
  expect(leaks(`key ${tenant.apiKey}, ${btoa(tenant.password)}`)).toEqual([tenant.apiKey, tenant.password]);
  expect(leaks('https://s3/x?X-Amz-Date=1&X-Amz-Signature=abc')).toEqual(['X-Amz-Signature=abc']);
});

test('at level trace nothing secret is printed or kept, whatever goes wrong', async () => {
  const { faults } = place.simulator;
  const echo = { message: `bad ${tenant.apiKey} ${tenant.clientSecret}`, password: tenant.password };
  faults.add({ endpoint: 'GET /v10/file-metadatas', kind: 'status', status: 400, body: echo, nth: 1 });
  faults.add({ endpoint: 'GET /v10/export/jobs', kind: 'html', nth: 1 });
  faults.add({ endpoint: 'GET /s3/{filename}', kind: 'expired-url', nth: 1 });
  faults.add({ endpoint: 'GET /s3/{filename}', kind: 'reset-mid-body', nth: 3 });
  faults.add({ endpoint: 'GET /v10/files/{filename}', kind: 'token-revoked', nth: 2 });
  faults.add({ endpoint: 'GET /s3/{filename}', kind: 'status', status: 403, nth: 5, times: 20 });
  const ended = await place.run('run');
  expect([0, 3]).toContain(ended.code);
  expect(ended.stdout).toContain('"level":"debug"');

  faults.clear();
  faults.add({ endpoint: 'GET /v10/data/sources', kind: 'status', status: 400, body: echo });
  const refused = await place.run('run', { LOG_LEVEL: 'trace' });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('[redacted]');
  faults.clear();
  await Promise.all(
    ['runs', 'run-history 1', 'run-history 2 --json', 'doctor'].map((args) => place.run(args)),
  );

  const tables = await place.sql<{ name: string }>(
    `select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  expect(tables.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['udm_sync.runs', 'udm_sync.history', 'udm_sync_queue.job']),
  );
  let rows = 0;
  for (const { name } of tables) {
    const found = await place.sql<{ text: string }>(`select t::text as text from ${name} t`);
    rows += found.length;
    for (const { text } of found) expect(leaks(text), name).toEqual([]);
  }
  expect(rows).toBeGreaterThan(20);
});
