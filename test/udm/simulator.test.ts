import { createHash } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { startSimulator } from '../../simulator/server.ts';
import type { SimulatorOptions } from '../../simulator/server.ts';
import { classifyStatus } from '../../src/udm/status.ts';
import type { ExportJobRequest } from '../../src/udm/types.ts';
import { all, clientOf, errorOf } from './support.ts';

const request: ExportJobRequest = {
  source: 'UCSX',
  type: 'INTERACTIONS',
  title: 'nightly [marker-1]',
  timeFrame: { all: false, dateFrom: '2026-01-01T00:00:00Z', dateTo: '2026-01-02T00:00:00Z' },
  schedulerParam: { immediately: true },
  jobParams: { fileSplitSize: '100' },
};

async function upstream(options: SimulatorOptions = {}) {
  const files = ['a b.zip.smime', 'c,d+%.zip.smime', 'ü.zip.smime'];
  const simulator = await startSimulator({
    speed: 0,
    startAt: Date.UTC(2026, 0, 15),
    filesFor: () => files.map((name, index) => ({ name, size: 100_000 * index })),
    ...options,
  });
  onTestFinished(() => simulator.close());
  const [tenant] = simulator.tenants;
  if (tenant === undefined) throw new Error('expected a tenant');
  const { apiKey, clientId, clientSecret, username, password } = tenant;
  const client = clientOf(simulator.baseUrl, {
    apiKey,
    auth: { grant: 'password', clientId, clientSecret, username: `${tenant.name}\\${username}`, password },
  });
  return { simulator, client, files };
}

test.each<[string, SimulatorOptions]>([
  ['envelopes', { shape: 'envelope' }],
  ['bare bodies, text for numbers', { shape: 'bare', stringValues: true }],
  ['arrays, numbers for ids, small pages', { shape: 'array', numericIds: true, maxPageSize: 2 }],
  ['all of it mixed', { shape: 'mixed', createAnswer: 'id', maxPageSize: 1 }],
])('an export from creation to deletion: %s', async (_, options) => {
  const { simulator, client, files } = await upstream(options);
  expect(await client.getCipher()).toBeDefined();
  expect((await client.listSources()).map(({ name }) => name)).toContain('UCSX');
  expect((await client.listJobStatuses()).length).toBeGreaterThan(3);
  expect(await client.getVersion()).toBeTruthy();

  const { id } = await client.createJob(request);
  if (id === undefined) throw new Error('expected an id');
  const jobs = await all(client.listJobs({ title: 'marker-1' }));
  expect(jobs.map((job) => [job.id, job.title])).toEqual([[id, request.title]]);
  const [running] = await all(client.listHistory({ jobId: id }));
  if (running === undefined) throw new Error('expected a history entry');
  expect(['waiting', 'running']).toContain(classifyStatus(running.status));
  expect((await client.deleteJobList([id])).remaining).toEqual([id]);

  simulator.clock.advance(30_000);
  expect(await client.getHistoryProgress(running.id)).toBe(50);
  simulator.clock.advance(60_000);
  expect(classifyStatus((await client.getHistory(running.id))?.status)).toBe('completed');

  const found = await all(client.listFileMetadatas({ historyId: running.id }));
  expect(found.map(({ name, size }) => [name, size]).sort()).toEqual(
    files.map((name, i) => [name, 100_000 * i]).sort(),
  );
  const { urls, missing } = await client.presignFiles([...files, 'never.zip']);
  expect([...urls.keys()].sort()).toEqual([...files].sort());
  expect(missing).toEqual(['never.zip']);
  for (const name of files) {
    const [listed, located] = [urls.get(name), await client.locateFile(name)];
    if (listed === undefined || located === undefined) throw new Error(`expected URLs for ${name}`);
    for (const url of [listed, located]) {
      const download = await client.download(url);
      const bytes = Buffer.concat(await Array.fromAsync(download.body));
      const digest = await simulator.fileDigest(name);
      expect(createHash('md5').update(bytes).digest('hex')).toBe(digest?.md5);
      expect(download.length).toBe(bytes.length);
    }
  }

  expect(new Set((await client.deleteFiles([...files, 'never.zip'])).deleted)).toEqual(
    new Set([...files, 'never.zip']),
  );
  expect(await all(client.listFileMetadatas({ historyId: running.id }))).toEqual([]);
  await client.deleteHistory(running.id);
  expect(await client.getHistory(running.id)).toBeUndefined();
  expect((await client.deleteJobList([id])).remaining).toEqual([]);
  expect(await client.getJob(id)).toBeUndefined();
  // Nothing of ours ever reached the storage.
  const hops = simulator.requests.filter(({ listener }) => listener === 's3');
  expect(hops.length).toBeGreaterThan(0);
  expect(hops.some(({ hasAuthorization, hasApiKey }) => hasAuthorization || hasApiKey)).toBe(false);
});

test('a URL that is too old, and a range of one that is not', async () => {
  const { simulator, client } = await upstream();
  simulator.addFile({ name: 'x.zip', size: 1000 });
  const old = await client.locateFile('x.zip');
  if (old === undefined) throw new Error('expected a URL');
  simulator.clock.advance(3_600_000);
  expect((await errorOf(client.download(old))).code).toBe('ERR_PRESIGNED_EXPIRED');
  const fresh = await client.locateFile('x.zip');
  if (fresh === undefined) throw new Error('expected a URL');
  const whole = await client.download(fresh);
  const bytes = Buffer.concat(await Array.fromAsync(whole.body));
  const rest = await client.download(fresh, {
    start: 900,
    ...(whole.etag === undefined ? {} : { ifMatch: whole.etag }),
  });
  expect(rest).toMatchObject({ status: 206, length: 100, total: 1000 });
  expect(Buffer.concat(await Array.fromAsync(rest.body))).toEqual(bytes.subarray(900));
  expect((await errorOf(client.download(fresh, { start: 1, ifMatch: '"other"' }))).code).toBe(
    'ERR_PRESIGNED_CHANGED',
  );
});
