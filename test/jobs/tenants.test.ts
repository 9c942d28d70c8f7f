import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { openPipeline } from '../../src/jobs/pipeline.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { planWindow } from '../../src/jobs/plan.ts';
import { memoryOfTenant, tenantsAtWork } from '../../src/jobs/shares.ts';
import { startWorker } from '../../src/jobs/worker.ts';
import { createLogger } from '../../src/log.ts';
import { listRuns } from '../../src/store/runs.ts';
import { startSimulator } from '../../simulator/server.ts';
import type { Simulator } from '../../simulator/server.ts';
import { createTestDatabase } from '../support/postgres.ts';

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

/** A server that treats every request alike. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

/** Takes requests and never answers. `open` are those whose callers still wait. */
async function blackHole(first?: (response: ServerResponse) => void) {
  const open = new Set<ServerResponse>();
  const url = await serve((request, response) => {
    open.add(response);
    request.resume();
    response.once('close', () => open.delete(response));
    first?.(response);
  });
  return { url, open };
}

async function simulator(): Promise<Simulator> {
  const started = await startSimulator({ speed: 300, fileSize: [1000, 50_000] });
  cleanup.push(() => started.close());
  return started;
}

const places = { exports: 2, transfers: 1 };

/** One process for all: a worker whose tenants have these upstreams, and a definition each. */
async function begin(
  upstreams: Readonly<Record<string, string>>,
  more: Readonly<Record<string, Record<string, unknown>>> = {},
): Promise<OpenPipeline> {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-tenants-'));
  cleanup.push(() => rm(folder, { recursive: true, force: true }));
  const database = await createTestDatabase();
  cleanup.push(() => database.drop());
  const each = <T>(entry: (name: string, url: string) => T) =>
    Object.fromEntries(Object.entries(upstreams).map(([name, url]) => [name, entry(name, url)]));
  const text = stringify({
    database: { url: database.url },
    tenants: each((name, baseUrl) => ({
      baseUrl,
      apiKey: 'demo-api-key',
      auth:
        name === 'dark'
          ? { grant: 'token', token: 'demo-token' }
          : { grant: 'client_credentials', clientId: 'demo-client', clientSecret: 'demo-client-secret' },
      limits: { requestsPerSecond: 500, exports: 20, transfers: 20 },
      // Nothing that the test relies on ends by itself.
      requestTimeout: name === 'dark' ? '10m' : '5s',
      download: { allowPrivateAddresses: true },
    })),
    sinks: each((name) => ({ type: 'filesystem', directory: join(folder, name) })),
    definitions: {
      ...each((name) => ({
        tenant: name,
        sink: name,
        source: 'UCSX',
        type: 'contacts',
        windows: { length: '1h' },
        retry: { attempts: 3, minDelay: '50ms', maxDelay: '200ms' },
      })),
      ...more,
    },
    worker: { ...places, poll: { min: '50ms', max: '200ms' }, createSettle: '300ms', collectSettle: '100ms' },
    log: { level: process.env['UDM_SYNC_TEST_LOG'] ?? 'silent' },
  });
  const config = await loadConfig({ text, env: {} });
  const draining = new AbortController();
  const logger = createLogger(config.log.level, config.log.format, 2);
  const pipeline = await openPipeline({
    config,
    url: database.url,
    logger,
    draining: draining.signal,
    working: true,
  });
  const worker = await startWorker(pipeline, { schedules: Object.values(config.definitions), tickMs: 500 });
  cleanup.push(async () => {
    draining.abort();
    await worker.stop(1000);
    await pipeline.close();
  });
  return pipeline;
}

/** Plans so many hours of a definition. */
async function plan(pipeline: OpenPipeline, name: string, hours: number): Promise<void> {
  const definition = pipeline.config.definitions[name];
  if (!definition) throw new Error(`no definition ${name}`);
  const from = new Date(Date.UTC(2026, 0, 1));
  await planWindow(pipeline, definition, { from, to: new Date(from.getTime() + hours * 3_600_000) });
}

/** How many runs of a definition are in each state. */
async function states(pipeline: OpenPipeline, definition: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { state } of await listRuns(pipeline.db, { definition, limit: 1000 }))
    counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

const patient = { timeout: 30_000, interval: 50 };

test('a tenant that answers nothing and one that refuses for ever take no place of a third', async () => {
  const hole = await blackHole();
  let refused = 0;
  const refusing = await serve((request, response) => {
    refused += 1;
    request.resume();
    response.writeHead(401, { 'content-type': 'application/json' });
    response.end('{"error":"invalid_client"}');
  });
  const healthy = await simulator();
  const pipeline = await begin(
    { dark: hole.url, refusing, healthy: healthy.baseUrl },
    {
      'dark-adopted': {
        tenant: 'dark',
        sink: 'dark',
        source: 'UCSX',
        type: 'contacts',
        adopt: { title: 'x', every: '1s' },
      },
    },
  );
  await plan(pipeline, 'dark', 20);
  await plan(pipeline, 'refusing', 20);
  // Both places are taken for good, and so is the look at the history.
  await expect.poll(() => hole.open.size, patient).toBe(places.exports + 1);
  await expect.poll(() => refused, patient).toBeGreaterThan(20);
  const held = [...hole.open];

  await plan(pipeline, 'healthy', 12);
  await expect.poll(() => states(pipeline, 'healthy'), patient).toEqual({ done: 12 });

  expect(
    held.every((response) => hole.open.has(response)),
    'the calls are still open',
  ).toBe(true);
  expect(hole.open.size).toBe(places.exports + 1);
  expect(await states(pipeline, 'refusing')).not.toHaveProperty('done');
});

test('downloads that stall take no place, and no memory, of another tenant', async () => {
  const hole = await blackHole((response) => {
    response.writeHead(200, { 'content-length': '1000000', etag: '"stalled"', 'accept-ranges': 'bytes' });
    response.write('x');
  });
  const stalled = await simulator();
  // No list of URLs: every file is asked for by itself, and led into the hole.
  stalled.faults.add({ endpoint: 'GET /v10/files', kind: 'status', status: 503 });
  stalled.faults.add({
    endpoint: 'GET /v10/files/{filename}',
    kind: 'status',
    status: 303,
    headers: { location: `${hole.url}/export?X-Amz-Signature=s` },
  });
  const healthy = await simulator();
  const pipeline = await begin({ stalled: stalled.baseUrl, healthy: healthy.baseUrl });
  await plan(pipeline, 'stalled', 6);
  await expect.poll(() => hole.open.size, patient).toBeGreaterThanOrEqual(places.transfers);
  // Somebody waits for all of the stalled tenant's memory: whoever shared it would wait behind.
  const wait = new AbortController();
  const waiting = pipeline.memory('stalled').small.acquire(Infinity, wait.signal);
  waiting.catch(() => undefined);
  cleanup.push(() => Promise.resolve(wait.abort()));

  await plan(pipeline, 'healthy', 6);
  await expect.poll(() => states(pipeline, 'healthy'), patient).toEqual({ done: 6 });
  expect(hole.open.size).toBeGreaterThanOrEqual(places.transfers);
  await expect.poll(() => states(pipeline, 'stalled'), patient).toEqual({ transferring: 6 });
});

test('memory is shared out to the tenants that a definition names', async () => {
  const tenant = { baseUrl: 'https://gapi.example.com', apiKey: 'k', auth: { grant: 'token', token: 't' } };
  const definition = { sink: 'disk', source: 'UCSX', type: 'contacts' };
  const text = stringify({
    tenants: { a: tenant, b: tenant, idle: tenant },
    sinks: { disk: { type: 'filesystem', directory: '/data' } },
    definitions: {
      one: { ...definition, tenant: 'b' },
      two: { ...definition, tenant: 'a' },
      three: { ...definition, tenant: 'b' },
    },
    worker: { memory: '64MiB' },
  });
  const config = await loadConfig({ text, env: {} });
  expect(tenantsAtWork(config)).toEqual(['a', 'b']);
  expect(memoryOfTenant(config, config.worker.memoryBytes ?? 0)).toBe(32 * 1024 * 1024);
});
