import { expect, test } from 'vitest';
import { anyNumber, anyString, caller, items, jobBody, pick, simulator } from './support.ts';

async function withJobs(titles: readonly string[], options: Parameters<typeof simulator>[0] = {}) {
  const sim = await simulator(options);
  const client = await caller(sim);
  for (const title of titles) {
    await client.call('POST', '/v10/export/jobs', jobBody({ title }));
    sim.clock.advance(1);
  }
  return { sim, client };
}

test('an empty list is a 204 without a body, except for file metadata', async () => {
  const { client } = await withJobs([]);
  for (const path of ['/v10/export/jobs', '/v10/export/history', '/v10/data/types?source=none']) {
    expect(await client.call('GET', path)).toMatchObject({ status: 204, text: '' });
  }
  expect((await client.call('GET', '/v10/file-metadatas')).json).toEqual({
    status: { code: 0 },
    data: { count: 0, size: 0, items: [] },
  });
});

test('title filters by contains', async () => {
  const { client } = await withJobs(['export-1', 'export-12', 'other']);
  const reply = await client.call('GET', '/v10/export/jobs?title=export-1');
  expect(items(reply).map((job) => pick(job, 'title'))).toEqual(['export-12', 'export-1']);
  expect((await client.call('GET', '/v10/export/history?title=nothing')).status).toBe(204);
});

test('pages: count is the whole, size the page, and no page is larger than the maximum', async () => {
  const titles = Array.from({ length: 7 }, (_, i) => `job ${i}`);
  const { client } = await withJobs(titles, { maxPageSize: 3 });
  const seen: unknown[] = [];
  for (const [from, size] of [
    [0, 3],
    [3, 3],
    [6, 1],
  ]) {
    const reply = await client.call(
      'GET',
      `/v10/export/jobs?from=${from}&size=1000&orderField=createdDate&descAsc=false`,
    );
    expect(reply.json).toMatchObject({ data: { count: 7, size } });
    seen.push(...items(reply).map((job) => pick(job, 'title')));
  }
  expect(seen).toEqual(titles);
  expect((await client.call('GET', '/v10/export/jobs?from=7')).status).toBe(204);
  expect((await client.call('GET', '/v10/export/jobs?from=x')).status).toBe(400);
});

test('orderField=id is accepted and does nothing; createdDate works', async () => {
  const { client } = await withJobs(['a', 'b', 'c']);
  const order = async (query: string) =>
    items(await client.call('GET', `/v10/export/jobs?${query}`)).map((job) => pick(job, 'title'));
  expect(await order('orderField=id&descAsc=false')).toEqual(['c', 'b', 'a']);
  expect(await order('orderField=createdDate&descAsc=false')).toEqual(['a', 'b', 'c']);
  expect(await order('orderField=createdDate&descAsc=true')).toEqual(['c', 'b', 'a']);
});

test('file metadata filters by history exactly, by name and job title with contains', async () => {
  const { sim, client } = await withJobs(['one', 'two'], {
    filesFor: (job) => [{ name: `${job.title}-file`, size: 1 }],
  });
  sim.clock.advance(60_000);
  const names = async (query: string) =>
    items(await client.call('GET', `/v10/file-metadatas?${query}`)).map((file) => pick(file, 'name'));
  const historyId = sim.state().jobs[1]?.runs[0]?.id ?? '';
  expect(await names(`historyId=${historyId}`)).toEqual(['two-file']);
  expect(await names(`historyId=${historyId.slice(0, 8)}`)).toEqual([]);
  expect(await names('name=e-f')).toEqual(['one-file']);
  expect(await names('jobTitle=tw')).toEqual(['two-file']);
});

test('mixed: every answer has another shape, and ids and values other types', async () => {
  const { sim, client } = await withJobs(['a', 'b'], {
    shape: 'mixed',
    numericIds: true,
    stringValues: true,
    filesFor: () => [
      { name: 'x', size: 3 },
      { name: 'y', size: 3 },
    ],
  });
  sim.clock.advance(60_000);
  const kinds = new Set<string>();
  for (let i = 0; i < 3; i += 1) {
    const { json } = await client.call('GET', '/v10/export/jobs');
    kinds.add(Array.isArray(json) ? 'array' : pick(json, 'data') ? 'envelope' : 'bare');
    const job = Array.isArray(json)
      ? (json[0] as unknown)
      : (pick(json, 'data', 'items', 0) ?? pick(json, 'items', 0));
    expect(job).toMatchObject({ id: anyNumber, suspended: 'false' });
  }
  expect(kinds).toEqual(new Set(['envelope', 'bare', 'array']));
  const reply = await client.call('GET', '/v10/file-metadatas');
  const list: unknown = pick(reply.json, 'data', 'items') ?? pick(reply.json, 'items') ?? reply.json;
  expect(list).toMatchObject([
    { name: anyString, size: '3' },
    { fileName: anyString, fileSize: '3' },
    {},
    {},
  ]);
});

test('bare leaves the envelope out', async () => {
  const { client } = await withJobs(['a'], { shape: 'bare' });
  expect((await client.call('GET', '/v10/export/jobs')).json).toMatchObject({
    count: 1,
    size: 1,
    items: [{ title: 'a', createdDate: anyNumber }],
  });
});

test('the words of the data endpoints', async () => {
  const { client } = await withJobs([]);
  const words = async (path: string) =>
    items(await client.call('GET', `/v10/data/${path}`)).map((word) => pick(word, 'name'));
  expect(await words('sources')).toEqual(['UCSX', 'iWD']);
  expect(await words('types?source=UCSX')).toEqual(['Interactions', 'Contacts']);
  expect(await words('sub-types?source=UCSX&dataType=Contacts')).toEqual(['contact']);
  expect((await client.call('GET', '/v10/data/sub-types?source=none')).status).toBe(400);
  expect(await words('job-statuses')).toContain('IN_PROGRESS');
  expect(await words('attributes?entities=Contacts')).toContain('FirstName');
  expect((await client.call('GET', '/v10/resources/labels')).status).toBe(200);
});
