import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createDownloader } from '../../src/udm/download.ts';
import { allPages } from '../../src/udm/paging.ts';
import { SignedUrl } from '../../src/udm/presigned.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import { all, clientOf, errorOf, json, serve } from '../udm/support.ts';

/** What an upstream, or whoever sits in its place, can do by what it answers. */

/** A server that writes by hand: `answer` for each request, then whatever `drip` does with the socket. */
async function raw(answer: string, drip?: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write(answer, 'latin1', () => drip?.(socket)));
    onTestFinished(() => void socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Writes a byte every few ms until the client has had enough. */
const slowly = (text: string) => (socket: Socket) => {
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ' '), 5);
  socket.once('close', () => clearInterval(timer));
};

const token = { auth: { grant: 'token', token: 'fixed' } } as const;

const quick = (url: string) => clientOf(url, { ...token, requestTimeoutMs: 300, timeoutMs: 600 });

const download = (url: string) => {
  const downloader = createDownloader({
    rules: { allowedHosts: undefined, addresses: { loopback: true, private: false } },
    idleTimeoutMs: 300,
    redactor: createRedactor(),
  });
  onTestFinished(() => downloader.close());
  return (async () => {
    const { body } = await downloader.download(new SignedUrl(new URL(`${url}/a.zip`)));
    for await (const _piece of body);
  })();
};

describe('an answer that never ends', () => {
  test.each([
    ['in its head', 'HTTP/1.1 200 OK\r\n', 'X-A: 1\r\n'],
    ['in its body', 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n', '['],
    ['in its chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\n[\r\n'],
  ])('%s, byte by byte, is given up in time', async (_where, answer, text) => {
    const error = await errorOf(quick(await raw(answer, slowly(text))).listSources());
    expect(['ERR_UDM_TIMEOUT', 'ERR_UDM_UNAVAILABLE']).toContain(error.code);
  });

  test('at the token endpoint neither holds up for ever', async () => {
    const url = await raw('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n', slowly('{'));
    const client = clientOf(url, { requestTimeoutMs: 300, timeoutMs: 600 });
    expect((await errorOf(client.checkToken())).code).toBe('ERR_UDM_TIMEOUT');
  });

  test.each([
    ['a head that drips', 'HTTP/1.1 200 OK\r\n', slowly('X-A: 1\r\n'), 'ERR_DOWNLOAD_STALLED'],
    ['heads without an answer', '', slowly('HTTP/1.1 100 Continue\r\n\r\n'), 'ERR_DOWNLOAD_STALLED'],
    [
      'a head without an end',
      `HTTP/1.1 200 OK\r\n${'X-Padding: '.padEnd(1000, 'x')}\r\n`.padEnd(600_000, 'X-A: 1\r\n'),
      undefined,
      'ERR_DOWNLOAD_UNREACHABLE',
    ],
    [
      'a trailer without an end',
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n${'X-A: 1\r\n'.repeat(10_000)}`,
      undefined,
      'ERR_DOWNLOAD_BROKEN',
    ],
    [
      'a body that falls silent',
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx',
      undefined,
      'ERR_DOWNLOAD_STALLED',
    ],
  ])('of the origin, %s, is given up', async (_what, answer, drip, code) => {
    expect((await errorOf(download(await raw(answer, drip)))).code).toBe(code);
  });

  test('a list without an end is left, with a count or without', async () => {
    const endless = (count: number | undefined) =>
      allPages({
        endpoint: 'GET /v10/export/jobs',
        pageSize: 100,
        mostItems: 1000,
        keyOf: String,
        fetchPage: (from) =>
          Promise.resolve({ items: Array.from({ length: 100 }, (_, at) => from + at), count }),
      });
    for (const count of [undefined, 1e15]) {
      const error = await errorOf(all(endless(count)));
      expect(error.code).toBe('ERR_UDM_PAGING');
      expect(error.message).toContain('does not end');
      expect(error.retryable).toBe(false);
    }
  });

  test('a list that repeats one page for ever is left', async () => {
    const server = await serve((_request, response) =>
      json(response, 200, { count: 10, items: [{ id: '1' }] }),
    );
    expect((await errorOf(all(clientOf(server.url).listJobs()))).code).toBe('ERR_UDM_PAGING');
    expect(server.calls.length).toBeLessThan(30);
  });
});

describe('a head', () => {
  test.each([
    ['larger than any', `HTTP/1.1 200 OK\r\nX-A: ${'x'.repeat(100_000)}\r\n\r\n[]`],
    ['with a bare line feed', 'HTTP/1.1 200 OK\nContent-Length: 2\n\n[]'],
    ['with two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n[]'],
    [
      'with length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n',
    ],
    ['with a NUL', 'HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\n[]'],
  ])('%s is no answer, of the API or the origin', async (_what, answer) => {
    const url = await raw(answer);
    expect((await errorOf(quick(url).listSources())).code).toBe('ERR_UDM_UNAVAILABLE');
    if (!answer.includes('x'.repeat(1000)))
      expect((await errorOf(download(url))).code).toMatch(/^ERR_DOWNLOAD_(UNREACHABLE|STALLED)$/);
  });

  test('split into two by a Location stays one, and what was smuggled is not believed', async () => {
    const url = await raw(
      'HTTP/1.1 303 See Other\r\nLocation: https://files.test/a\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n["x"]\n',
    );
    const client = clientOf(url, token);
    expect(String(await client.locateFile('a.zip'))).toBe('https://files.test/a');
    // The second answer belongs to no request: the next one has a connection of its own, or the same first answer.
    expect((await errorOf(client.listSources())).code).not.toBe('');
  });
});

describe('a bomb', () => {
  test.each([
    ['gzip in gzip', (body: Buffer) => gzipSync(gzipSync(body)), 'gzip'],
    ['gzip', gzipSync, 'gzip'],
  ])('of %s is never unpacked whole', async (_what, pack, encoding) => {
    const bomb = pack(Buffer.alloc(200 * 1024 * 1024, '['));
    const server = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': encoding }).end(bomb),
    );
    const before = process.memoryUsage().rss;
    const error = await errorOf(clientOf(server.url).listSources());
    expect(['ERR_UDM_ANSWER_TOO_LARGE', 'ERR_UDM_ANSWER']).toContain(error.code);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  });

  test('of an error page is cut to a line', async () => {
    const server = await serve((_request, response) => response.writeHead(400).end('A'.repeat(15_000_000)));
    const error = await errorOf(clientOf(server.url).listSources());
    expect(error.message.length).toBeLessThan(500);
  });
});

describe('values', () => {
  const listed = async (item: string) => {
    const server = await serve((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(`{"count":1,"items":[${item}]}`),
    );
    return all(clientOf(server.url).listFileMetadatas());
  };

  test('`__proto__`, `constructor` and the like are keys like any other', async () => {
    const [file] = await listed(
      '{"name":"a","__proto__":{"size":9,"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"x"}',
    );
    expect(file).toEqual({ name: 'a' });
    expect({}).not.toHaveProperty('polluted');
    const server = await serve((_request, response) =>
      response.end('{"__proto__":{"name":"x"},"constructor":"y","hasOwnProperty":"z"}'),
    );
    const words = await clientOf(server.url, token).listSources();
    expect(words.map(({ name }) => name).sort()).toEqual(['__proto__', 'constructor', 'hasOwnProperty']);
  });

  test.each([
    ['1e400'],
    ['-1'],
    ['1.5'],
    ['1e308'],
    ['99999999999999999999999999'],
    ['"0x10"'],
    ['"Infinity"'],
    ['"NaN"'],
    ['{"valueOf":1}'],
  ])('a size of %s is none', async (size) => {
    expect(await listed(`{"name":"a","size":${size}}`)).toEqual([{ name: 'a' }]);
  });

  test.each([
    ['8640000000000000'],
    ['"+275760-09-13T00:00:00Z"'],
    ['-1e15'],
    ['"-000001-01-01"'],
    ['1e400'],
    ['[]'],
  ])('a date of %s is none', async (date) => {
    expect(await listed(`{"name":"a","createdDate":${date}}`)).toEqual([{ name: 'a' }]);
  });

  test('what no database can keep is replaced where it is only shown', async () => {
    const server = await serve((_request, response) =>
      response.end(
        String.raw`{"items":[{"id":"7","title":"a\u0000b\ud800c","status":"` + 'x'.repeat(10_000) + '"}]}',
      ),
    );
    const [job] = await all(clientOf(server.url, token).listJobs());
    expect(job?.title).toBe('a\ufffdb\ufffdc');
    expect(job?.status?.length).toBe(500);
  });

  test.each([
    ['NUL', String.raw`"a\u0000b.zip"`, 'NUL'],
    ['half a character', String.raw`"a\ud800.zip"`, 'half a character'],
    ['3000 bytes', JSON.stringify('ü'.repeat(1500)), 'longer than 2048 bytes'],
  ])('a file name with %s is refused and not changed into another', async (_what, name, says) => {
    const error = await errorOf(listed(`{"name":${name}}`));
    expect(error.code).toBe('ERR_UDM_ANSWER');
    expect(error.message).toContain('items[0].name');
    expect(error.message).toContain(says);
  });
});
