import { expect, test } from 'vitest';
import type { FaultRule } from '../../simulator/server.ts';
import {
  anyArray,
  bytesOf,
  caller,
  containing,
  fetchReply,
  items,
  jobBody,
  locate,
  pick,
  simulator,
  truth,
  type Caller,
} from './support.ts';

const JOBS = 'POST /v10/export/jobs';
const S3 = 'GET /s3/{filename}';

async function setUp(options: Parameters<typeof simulator>[0] = {}) {
  const sim = await simulator(options);
  const client = await caller(sim);
  const create = (title = 'daily') => client.call('POST', '/v10/export/jobs', jobBody({ title }));
  return { sim, client, create };
}

async function withFaultyFile(
  fault: { kind: FaultRule['kind']; nth?: number; times?: number; afterBytes?: number },
  size = 100_000,
) {
  const { sim, client } = await setUp();
  sim.addFile({ name: 'f', size });
  sim.faults.add({ endpoint: S3, ...fault } as FaultRule);
  return { sim, client, url: await locate(client, 'f') };
}

const statusOf = async (client: Caller) => {
  const reply = await client.call('GET', '/v10/export/history');
  return pick(items(reply)[0], 'status');
};

test('nth, times, every and patterns choose the requests', async () => {
  const { sim, client } = await setUp();
  const statuses = async (n: number) => {
    const seen: number[] = [];
    for (let i = 0; i < n; i += 1) seen.push((await client.call('GET', '/v10/cipher')).status);
    return seen;
  };
  const fault = { endpoint: 'GET /v10/cipher', kind: 'status', status: 503 } as const;
  const nth = sim.faults.add({ ...fault, nth: 2, times: 2 });
  expect(await statuses(4)).toEqual([200, 503, 503, 200]);
  expect([nth.matched, nth.fired]).toEqual([4, 2]);
  nth.remove();
  sim.faults.add({ ...fault, every: 2 });
  expect(await statuses(4)).toEqual([200, 503, 200, 503]);
  sim.faults.clear();
  sim.faults.add({ ...fault, endpoint: /^GET \/v10\/cip/, times: 1 });
  expect(await statuses(2)).toEqual([503, 200]);
});

test('status: any status, body and headers, and nothing happens', async () => {
  const { sim, create } = await setUp();
  sim.faults.add({
    endpoint: JOBS,
    kind: 'status',
    status: 429,
    headers: { 'retry-after': '7' },
    body: { message: 'slow down' },
  });
  const reply = await create();
  expect(reply).toMatchObject({ status: 429, json: { message: 'slow down' } });
  expect(reply.headers.get('retry-after')).toBe('7');
  expect(sim.state().jobs).toEqual([]);
});

test('delay: the answer waits for at least that long', async () => {
  const { sim, create } = await setUp();
  sim.faults.add({ endpoint: JOBS, kind: 'delay', ms: 50 });
  const before = performance.now();
  expect((await create()).status).toBe(202);
  expect(performance.now() - before).toBeGreaterThanOrEqual(49);
});

test('reset: the connection dies and nothing happened; lost-answer: it dies and it did', async () => {
  const { sim, create } = await setUp();
  sim.faults.add({ endpoint: JOBS, kind: 'reset', nth: 1 });
  sim.faults.add({ endpoint: JOBS, kind: 'lost-answer', nth: 2 });
  await expect(create('one')).rejects.toThrow('fetch failed');
  expect(sim.state().jobs).toEqual([]);
  await expect(create('two')).rejects.toThrow('fetch failed');
  expect(sim.state().jobs).toMatchObject([{ title: 'two' }]);
  expect(sim.requests.slice(-2)).toMatchObject([
    { outcome: 'cut', status: 0, jobs: [] },
    { outcome: 'cut', status: 0, jobs: [sim.state().jobs[0]?.id] },
  ]);
});

test.for(['reset-mid-body', 'truncate'] as const)(
  '%s: the body breaks off before its Content-Length',
  async (kind) => {
    const { sim, url } = await withFaultyFile({ kind, afterBytes: 1000, times: 1 });
    const response = await fetch(url);
    expect(response.headers.get('content-length')).toBe('100000');
    await expect(response.arrayBuffer()).rejects.toThrow('terminated');
    expect(sim.requests.at(-1)).toMatchObject({ outcome: 'cut', bytesSent: 1000 });
    expect((await bytesOf(await fetch(url))).length).toBe(100_000);
  },
);

test('truncate-chunked: the body ends early and looks fine', async () => {
  const { sim, url } = await withFaultyFile({ kind: 'truncate-chunked' });
  const response = await fetch(url);
  expect(response.headers.get('content-length')).toBeNull();
  expect((await bytesOf(response)).equals(truth(sim, 'f', 0, 50_000))).toBe(true);
});

test('no-length and no-etag leave the header out, ignore-range the range', async () => {
  const noLength = await fetch((await withFaultyFile({ kind: 'no-length' })).url);
  expect(noLength.headers.get('content-length')).toBeNull();
  expect((await bytesOf(noLength)).length).toBe(100_000);
  expect((await fetch((await withFaultyFile({ kind: 'no-etag' })).url)).headers.get('etag')).toBeNull();
  const ignored = await fetch((await withFaultyFile({ kind: 'ignore-range' })).url, {
    headers: { range: 'bytes=5-' },
  });
  expect([ignored.status, (await bytesOf(ignored)).length]).toEqual([200, 100_000]);
});

test('changed: other bytes and another ETag from then on', async () => {
  const { sim, url } = await withFaultyFile({ kind: 'changed', nth: 2 });
  const first = await fetch(url);
  const etag = first.headers.get('etag') ?? '';
  const before = await bytesOf(first);
  expect((await fetchReply(url, { headers: { range: 'bytes=10-', 'if-match': etag } })).status).toBe(412);
  const after = await bytesOf(await fetch(url));
  expect(after.equals(before)).toBe(false);
  expect(after.equals(truth(sim, 'f'))).toBe(true);
  expect(sim.state().files).toMatchObject([{ generation: 2 }]);
});

test('expired-url: the one handed out, or the one presented', async () => {
  const { sim, client } = await setUp();
  sim.addFile({ name: 'f', size: 10 });
  sim.faults.add({ endpoint: 'GET /v10/files/{filename}', kind: 'expired-url', times: 1 });
  const expired = { status: 403, text: containing('Request has expired') };
  expect(await fetchReply(await locate(client, 'f'))).toMatchObject(expired);
  const url = await locate(client, 'f');
  sim.faults.add({ endpoint: /^GET \/s3\/f$/, kind: 'expired-url', times: 1 });
  expect(await fetchReply(url)).toMatchObject(expired);
  expect((await fetchReply(url)).status).toBe(200);
});

test('duplicate-page: the page before comes again', async () => {
  const { sim, client, create } = await setUp({ maxPageSize: 2 });
  for (const title of ['a', 'b', 'c']) await create(title);
  sim.faults.add({ endpoint: 'GET /v10/export/jobs', kind: 'duplicate-page', nth: 2 });
  const page = async (from: number) =>
    items(await client.call('GET', `/v10/export/jobs?from=${from}`)).map((job) => pick(job, 'id'));
  const first = await page(0);
  expect(await page(2)).toEqual(first);
  expect(await page(2)).not.toEqual(first);
});

test('token-revoked: this token never works again, a new one does', async () => {
  const { sim, client } = await setUp();
  sim.faults.add({ endpoint: 'GET /v10/cipher', kind: 'token-revoked', times: 1 });
  expect((await client.call('GET', '/v10/cipher')).status).toBe(401);
  expect((await client.call('GET', '/v10/export/jobs')).status).toBe(401);
  expect((await (await caller(sim)).call('GET', '/v10/cipher')).status).toBe(200);
});

test('html: a gateway page, nothing happens; wrong-json: it happens, and the answer is nonsense', async () => {
  const { sim, create } = await setUp();
  sim.faults.add({ endpoint: JOBS, kind: 'html', nth: 1 });
  sim.faults.add({ endpoint: JOBS, kind: 'wrong-json', nth: 2 });
  const html = await create();
  expect([html.status, html.headers.get('content-type')]).toEqual([502, 'text/html']);
  expect(sim.state().jobs).toEqual([]);
  const wrong = await create();
  expect(wrong).toMatchObject({ status: 202, json: { weather: anyArray } });
  expect(sim.state().jobs.length).toBe(1);
});

test.for([
  ['job-fails', 'Failed'],
  ['job-cancelled', 'CANCELLED'],
  ['unknown-status', 'Awaiting Orbit'],
] as const)('%s: the job ends as %s at the given progress', async ([kind, word]) => {
  const { sim, client, create } = await setUp();
  sim.faults.add({ endpoint: JOBS, kind, atProgress: 40, reason: 'disk full', times: 1 });
  await create();
  sim.clock.advance(23_999);
  expect(await statusOf(client)).toBe('In Progress');
  sim.clock.advance(1);
  expect(await statusOf(client)).toBe(word);
  sim.clock.advance(600_000);
  expect(await statusOf(client)).toBe(word);
  expect(sim.state().jobs).toMatchObject([{ live: kind === 'unknown-status', runs: [{ progress: 40 }] }]);
  expect(sim.state().files).toEqual([]);
});

test('job-vanishes: job and history are gone as if they had never been', async () => {
  const { sim, client, create } = await setUp();
  sim.faults.add({ endpoint: JOBS, kind: 'job-vanishes' });
  const id = String(pick((await create()).json, 'data', 'id'));
  sim.clock.advance(29_999);
  expect((await client.call('GET', `/v10/export/jobs/${id}`)).status).toBe(200);
  sim.clock.advance(1);
  expect((await client.call('GET', `/v10/export/jobs/${id}`)).status).toBe(404);
  expect((await client.call('GET', '/v10/export/history')).status).toBe(204);
  expect(sim.state().jobs).toMatchObject([{ id, live: false, deletedBy: 'vendor' }]);
});
