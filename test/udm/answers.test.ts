import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { UdmClient } from '../../src/udm/types.ts';
import { all, clientOf, errorOf, json, serve } from './support.ts';

/** A client whose upstream always answers this. */
async function answering(body: unknown, status = 200): Promise<UdmClient> {
  const server = await serve((_request, response) => {
    if (body === undefined) response.writeHead(204).end();
    else json(response, status, body);
  });
  return clientOf(server.url);
}

const enveloped = (data: unknown) => ({ status: { code: 0 }, data });

describe('both shapes', () => {
  const raw = {
    id: 17,
    title: 'nightly',
    status: 'In Progress',
    suspended: 'false',
    createdDate: 1767225600000,
  };
  const job = {
    id: '17',
    title: 'nightly',
    status: 'In Progress',
    suspended: false,
    createdDate: new Date('2026-01-01T00:00:00Z'),
  };

  test.each([
    ['bare', raw],
    ['enveloped', enveloped(raw)],
  ])('a job, %s', async (_, body) => {
    expect(await (await answering(body)).getJob('17')).toEqual(job);
  });

  test.each([
    ['enveloped page', enveloped({ count: 1, size: 1, items: [raw] })],
    ['page without envelope', { count: '1', items: [raw] }],
    ['map from id to item', enveloped({ items: { 17: raw } })],
  ])('jobs as %s', async (_, body) => {
    expect(await all((await answering(body)).listJobs())).toEqual([job]);
  });

  test.each([
    ['204', undefined],
    ['count of 0 without items', enveloped({ count: 0 })],
    ['empty data', enveloped(null)],
    ['empty array', []],
  ])('no jobs as %s', async (_, body) => {
    expect(await all((await answering(body)).listJobs())).toEqual([]);
  });

  test('a history entry under its various names', async () => {
    const body = {
      historyId: 5,
      jobId: 17,
      fileName: '',
      fileSize: '1024',
      progress: '50',
      errorMessage: 'disk full',
    };
    expect(await (await answering(enveloped(body))).getHistory('5')).toEqual({
      id: '5',
      jobId: '17',
      fileSize: 1024,
      progress: 50,
      reason: 'disk full',
    });
  });

  test('files under their various names', async () => {
    const items = [
      { fileName: 'a.zip', fileSize: '10', uploadDate: '2026-01-01T00:00:00', historyId: 5, whatever: [1] },
      { name: 'b.zip', size: 20, lastModified: '2026-01-01T01:00:00+01:00' },
      { name: 'c.zip', size: 'unknown', createdDate: 'yesterday' },
    ];
    const at = new Date('2026-01-01T00:00:00Z');
    expect(await all((await answering({ count: 3, items })).listFileMetadatas())).toEqual([
      { name: 'a.zip', size: 10, createdDate: at, historyId: '5' },
      { name: 'b.zip', size: 20, createdDate: at },
      { name: 'c.zip' },
    ]);
  });

  test('an id keeps all its digits', async () => {
    const server = await serve((_request, response) => response.end('{"id":12345678901234567890}'));
    expect((await clientOf(server.url).getJob('1'))?.id).toBe('12345678901234567890');
  });

  test.each([
    ['bare', 42],
    ['text', '42'],
    ['object', { progress: '42 %' }],
    ['enveloped', enveloped({ progress: 42 })],
    ['enveloped number', enveloped(42)],
  ])('progress, %s', async (_, body) => {
    expect(await (await answering(body)).getHistoryProgress('1')).toBe(42);
  });

  test.each([
    ['words', ['A', 'B'], [{ name: 'A' }, { name: 'B' }]],
    [
      'objects',
      [{ name: 'A', description: 'first' }, { status: 'B' }],
      [{ name: 'A', description: 'first' }, { name: 'B' }],
    ],
    ['a map', { A: 'first', B: 'B' }, [{ name: 'A', description: 'first' }, { name: 'B' }]],
    ['items', { items: ['A'], count: 1 }, [{ name: 'A' }]],
    ['204', undefined, []],
  ])('words as %s', async (_, body, words) => {
    expect(await (await answering(body)).listJobStatuses()).toEqual(words);
    if (body !== undefined) expect(await (await answering(enveloped(body))).listJobStatuses()).toEqual(words);
  });

  test.each([
    [
      'as the reference shows it',
      { ccid: 'c1', name: 'cert.pem', size: 1200, lastModified: 1767225600000 },
      'cert.pem',
    ],
    ['enveloped', enveloped({ ccid: 'c1', name: 'cert.pem' }), 'cert.pem'],
    ['204', undefined, undefined],
    ['an empty object', {}, undefined],
    ['empty data', enveloped(null), undefined],
  ])('certificate: %s', async (_, body, name) => {
    expect((await (await answering(body)).getCipher())?.name).toBe(name);
  });

  test.each([
    ['json text', '10.1', '10.1'],
    ['object', { version: '10.1' }, '10.1'],
    ['enveloped', enveloped({ version: 10.5 }), '10.5'],
  ])('version as %s', async (_, body, version) => {
    expect(await (await answering(body)).getVersion()).toBe(version);
  });

  test('version as plain text', async () => {
    const server = await serve((_request, response) => response.end('100.0.1-b\n'));
    expect(await clientOf(server.url).getVersion()).toBe('100.0.1-b');
  });

  test('labels come as they are', async () => {
    expect(await (await answering(enveloped({ en: { a: 1 } }))).getLabels()).toEqual({ en: { a: 1 } });
  });
});

describe('what is not there', () => {
  test('404 is undefined, false or done', async () => {
    const client = await answering({ message: 'no such job' }, 404);
    expect(await client.getJob('1')).toBeUndefined();
    expect(await client.getHistory('1')).toBeUndefined();
    expect(await client.getHistoryProgress('1')).toBeUndefined();
    expect(await client.locateFile('a.zip')).toBeUndefined();
    expect(await client.cancelJob('1')).toBe(false);
    await client.deleteJob('1');
    await client.deleteHistory('1');
    await client.deleteFile('a.zip');
  });

  test("a gateway's 404 page does not mean that a job is gone", async () => {
    const server = await serve((_request, response) =>
      response.writeHead(404, { 'content-type': 'text/html' }).end('<html>no such route</html>'),
    );
    const client = clientOf(server.url);
    expect((await errorOf(client.getJob('1'))).code).toBe('ERR_UDM_NOT_FOUND');
    expect((await errorOf(client.deleteFile('a.zip'))).code).toBe('ERR_UDM_NOT_FOUND');
  });
});

describe('the id of a new job', () => {
  test.each([
    ['a job', { id: 5, title: 't' }, '5'],
    ['enveloped', enveloped({ id: 'abc' }), 'abc'],
    ['jobId', { jobId: 7 }, '7'],
    ['an id alone', enveloped('abc'), 'abc'],
    ['no id', { title: 't' }, undefined],
    ['nothing', undefined, undefined],
  ])('%s', async (_, body, id) => {
    const client = await answering(body, 202);
    const made = await client.createJob({
      source: 's',
      type: 't',
      title: 'x',
      timeFrame: { all: true },
      schedulerParam: { immediately: true },
      jobParams: {},
    });
    expect(made.id).toBe(id);
  });
});

describe('answers nobody can understand', () => {
  async function errorFor(body: string | Buffer, headers: Record<string, string> = {}) {
    const server = await serve((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body),
    );
    return errorOf(all(clientOf(server.url, { maxBodyBytes: 100_000 }).listJobs()));
  }

  test('a field is named with its path', async () => {
    const error = await errorFor('{"status":{"code":0},"data":{"items":[{"id":1},{"title":"x"}]}}');
    expect(error).toMatchObject({ code: 'ERR_UDM_ANSWER', endpoint: 'GET /v10/export/jobs', status: 200 });
    expect(error.message).toContain('data.items[1].id');
    expect(error.excerpt).toContain('"title":"x"');
  });

  test.each([
    ['junk', '{"items": [', 'not JSON'],
    ['an HTML page', '<!doctype html><h1>Maintenance</h1>', 'HTML'],
    ['a word', '"hello"', 'items'],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), 'UTF-8'],
    ['a depth bomb', '['.repeat(50_000), 'deeper'],
    ['a deep tail behind brackets in text', `["[[[]]]", ${'['.repeat(80)}${']'.repeat(80)}]`, 'deeper'],
    ['a failure inside a 200', '{"status":{"code":500,"message":"oops"}}', 'status code 500'],
  ])('%s', async (_, body, message) => {
    const error = await errorFor(body);
    expect(error.code).toBe('ERR_UDM_ANSWER');
    expect(error.message).toContain(message);
    expect(error.retryable).toBe(false);
  });

  test('brackets inside text are not depth', async () => {
    const server = await serve((_request, response) =>
      json(response, 200, [{ name: '['.repeat(500) + '\\"' }]),
    );
    expect(await clientOf(server.url).listSources()).toHaveLength(1);
  });

  test('a body beyond the limit', async () => {
    const error = await errorFor(JSON.stringify('x'.repeat(100_001)));
    expect(error.code).toBe('ERR_UDM_ANSWER_TOO_LARGE');
  });

  test('a gzip bomb', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '));
    const error = await errorFor(bomb, { 'content-encoding': 'gzip' });
    expect(error.code).toBe('ERR_UDM_ANSWER_TOO_LARGE');
  });

  test('gzip that is not gzip', async () => {
    const error = await errorFor('plain', { 'content-encoding': 'gzip' });
    expect(error.code).toBe('ERR_UDM_ANSWER');
  });

  test('gzip is understood', async () => {
    const server = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('["UCSX"]')),
    );
    expect(await clientOf(server.url).listSources()).toEqual([{ name: 'UCSX' }]);
  });
});
