import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { classifyAddress, isAddressAllowed, isHostListed, isLoopbackHost } from '../../src/udm/address.ts';
import { createDownloader } from '../../src/udm/download.ts';
import type { DownloaderOptions } from '../../src/udm/download.ts';
import { SignedUrl } from '../../src/udm/presigned.ts';
import type { DownloadRules } from '../../src/udm/presigned.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import type { Download } from '../../src/udm/types.ts';
import { clientOf, errorOf, json, serve } from './support.ts';

const signature = '?X-Amz-Expires=60&X-Amz-Signature=5ec3e7';
const signed = (url: string) => new SignedUrl(new URL(url + signature));
const local: DownloadRules = { allowedHosts: undefined, addresses: { loopback: true, private: false } };
const strict: DownloadRules = { allowedHosts: undefined, addresses: { loopback: false, private: false } };

function downloaderOf(options: Partial<DownloaderOptions> = {}) {
  const downloader = createDownloader({
    rules: local,
    idleTimeoutMs: 20_000,
    redactor: createRedactor(),
    ...options,
  });
  onTestFinished(() => downloader.close());
  return downloader;
}

async function bytesOf(download: Download): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(download.body));
}

/** A server that speaks HTTP by hand: it sends this once it has the request, then does what `after` says. */
async function raw(answer: string, after: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write(answer, () => after(socket)));
    onTestFinished(() => {
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/acme/a.zip`;
}

describe('the request', () => {
  test('carries nothing of ours, and the bytes arrive', async () => {
    const content = randomBytes(3_000_000);
    const origin = await serve((_request, response) =>
      response
        .writeHead(200, {
          'content-length': content.length,
          etag: '"abc"',
          'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
        })
        .end(content),
    );
    const api = await serve((_request, response) =>
      response.writeHead(303, { location: `${origin.url}/acme/a%20b.zip${signature}` }).end(),
    );
    const client = clientOf(api.url);
    const url = await client.locateFile('a b.zip');
    if (url === undefined) throw new Error('expected a URL');
    const download = await client.download(url);
    expect(download).toMatchObject({
      status: 200,
      length: content.length,
      total: content.length,
      etag: '"abc"',
      lastModified: new Date('2026-01-01T00:00:00Z'),
    });
    const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(sha(await bytesOf(download))).toBe(sha(content));
    const [call] = origin.calls;
    expect(call?.target).toBe(`/acme/a%20b.zip${signature}`);
    expect(Object.keys(call?.headers ?? {}).sort()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ]);
    expect(call?.headers['accept-encoding']).toBe('identity');
  });

  test('a range, pinned to its ETag', async () => {
    const origin = await serve((_request, response) =>
      response
        .writeHead(206, { 'content-range': 'bytes 5-9/100', etag: '"abc"', 'content-length': 5 })
        .end('56789'),
    );
    const download = await downloaderOf().download(signed(origin.url), {
      start: 5,
      end: 9,
      ifMatch: '"abc"',
    });
    expect(download).toMatchObject({ status: 206, length: 5, total: 100 });
    expect((await bytesOf(download)).toString()).toBe('56789');
    expect(origin.calls[0]?.headers).toMatchObject({ range: 'bytes=5-9', 'if-match': '"abc"' });
  });

  test('an open range; a server may give the whole instead', async () => {
    const origin = await serve((_request, response) => response.end('0123456789'));
    const download = await downloaderOf().download(signed(origin.url), { start: 5 });
    expect(download.status).toBe(200);
    expect(origin.calls[0]?.headers.range).toBe('bytes=5-');
    await bytesOf(download);
  });

  test('an empty file is a file', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(200, { 'content-length': 0 }).end(),
    );
    const download = await downloaderOf().download(signed(origin.url));
    expect(download.length).toBe(0);
    expect(await bytesOf(download)).toHaveLength(0);
  });

  test('connections are used again, and an idle one that was closed does no harm', async () => {
    const sockets = new Set<Socket>();
    const origin = await serve((_request, response) => response.end('x'));
    origin.server.on('connection', (socket: Socket) => sockets.add(socket));
    const downloader = downloaderOf();
    await bytesOf(await downloader.download(signed(origin.url)));
    await bytesOf(await downloader.download(signed(origin.url)));
    expect(sockets.size).toBe(1);
    for (const socket of sockets) socket.resetAndDestroy();
    await bytesOf(await downloader.download(signed(origin.url)));
    expect(sockets.size).toBe(2);
  });
});

describe('what the origin says', () => {
  const expired = '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>';
  const denied =
    '<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>5ec3e7</SignatureProvided><AWSAccessKeyId>AKIA99</AWSAccessKeyId></Error>';

  test.each([
    [403, expired, 'ERR_PRESIGNED_EXPIRED', true],
    [400, '<Error><Code>ExpiredToken</Code></Error>', 'ERR_PRESIGNED_EXPIRED', true],
    [403, denied, 'ERR_PRESIGNED_DENIED', true],
    [404, '<Error><Code>NoSuchKey</Code></Error>', 'ERR_PRESIGNED_NOT_FOUND', false],
    [412, '', 'ERR_PRESIGNED_CHANGED', true],
    [416, '', 'ERR_DOWNLOAD_RANGE', false],
    [503, '<Error><Code>SlowDown</Code></Error>', 'ERR_DOWNLOAD_UNREACHABLE', true],
  ])('%i %s is %s', async (status, body, code, retryable) => {
    const origin = await serve((_request, response) => response.writeHead(status).end(body));
    const error = await errorOf(downloaderOf().download(signed(`${origin.url}/acme/a.zip`)));
    expect(error).toMatchObject({ code, retryable, status });
    expect(JSON.stringify(error) + error.message).not.toMatch(/5ec3e7|AKIA99/);
  });

  test('a further redirect is refused', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    );
    const error = await errorOf(downloaderOf().download(signed(origin.url)));
    expect(error.code).toBe('ERR_PRESIGNED_REFUSED');
  });

  test('a body compressed in transit is refused', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(),
    );
    expect((await errorOf(downloaderOf().download(signed(origin.url)))).code).toBe('ERR_DOWNLOAD_ENCODED');
  });

  test.each([['bytes 0-4/10'], ['bytes 6-9/10'], ['nonsense']])(
    'another range (%s) is refused',
    async (range) => {
      const origin = await serve((_request, response) =>
        response.writeHead(206, { 'content-range': range }).end('12345'),
      );
      const error = await errorOf(downloaderOf().download(signed(origin.url), { start: 5 }));
      expect(error.code).toBe('ERR_DOWNLOAD_RANGE');
    },
  );

  test('another ETag than the one asked for is a change, even if the server ignores If-Match', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(206, { etag: '"new"', 'content-range': 'bytes 5-9/10' }).end('56789'),
    );
    const error = await errorOf(downloaderOf().download(signed(origin.url), { start: 5, ifMatch: '"old"' }));
    expect(error.code).toBe('ERR_PRESIGNED_CHANGED');
  });

  test('a weak ETag is none', async () => {
    const origin = await serve((_request, response) => response.writeHead(200, { etag: 'W/"abc"' }).end('x'));
    const download = await downloaderOf().download(signed(origin.url));
    expect(download.etag).toBeUndefined();
    download.destroy();
  });
});

describe('bodies that end badly', () => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n';

  async function failure(url: string, options: Partial<DownloaderOptions> = {}) {
    const download = await downloaderOf(options).download(signed(url));
    return errorOf(bytesOf(download));
  }

  test('a connection closed before Content-Length', async () => {
    const error = await failure(await raw(`${head}half`, (socket) => socket.end()));
    expect(error).toMatchObject({ code: 'ERR_DOWNLOAD_TRUNCATED', retryable: true });
    expect(error.message).toContain('4 of 100 bytes');
  });

  test('a connection reset in the middle', async () => {
    const sockets: Socket[] = [];
    const url = await raw(`${head}half`, (socket) => sockets.push(socket));
    const download = await downloaderOf().download(signed(url));
    const chunks: Uint8Array[] = [];
    const error = await errorOf(
      (async () => {
        for await (const chunk of download.body) {
          chunks.push(chunk);
          // The client is certainly reading by now.
          for (const socket of sockets) socket.resetAndDestroy();
        }
      })(),
    );
    expect(error).toMatchObject({ code: 'ERR_DOWNLOAD_BROKEN', retryable: true });
    expect(Buffer.concat(chunks).toString()).toBe('half');
  });

  test('chunks without their end', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n';
    const error = await failure(await raw(answer, (socket) => socket.end()));
    expect(error).toMatchObject({ code: 'ERR_DOWNLOAD_BROKEN', retryable: true });
  });

  test('without any length the end cannot be told, and no length is claimed', async () => {
    const url = await raw('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf', (socket) => socket.end());
    const download = await downloaderOf().download(signed(url));
    expect(download.length).toBeUndefined();
    expect((await bytesOf(download)).toString()).toBe('half');
  });

  test('an origin that falls silent, before or within the body', async () => {
    const within = await raw(`${head}half`, () => undefined);
    expect(await failure(within, { idleTimeoutMs: 200 })).toMatchObject({
      code: 'ERR_DOWNLOAD_STALLED',
      retryable: true,
    });
    const before = await raw('', () => undefined);
    const error = await errorOf(downloaderOf({ idleTimeoutMs: 200 }).download(signed(before)));
    expect(error.code).toBe('ERR_DOWNLOAD_STALLED');
  });

  test.each(['its length', 'chunks'])(
    'a body of %s that drips would hold its place for days',
    async (framing) => {
      const [start, drop] =
        framing === 'chunks'
          ? ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\nx\r\n']
          : ['HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n', 'x'];
      const dripping = await raw(start, (socket) => {
        const timer = setInterval(() => socket.write(drop), 20);
        socket.once('close', () => clearInterval(timer));
      });
      // No silence is as long as the idle time.
      const error = await failure(dripping, { idleTimeoutMs: 400 });
      expect(error).toMatchObject({ code: 'ERR_DOWNLOAD_STALLED', retryable: true });
      const filling = await downloaderOf({ idleTimeoutMs: 400 }).download(signed(dripping));
      expect((await errorOf(filling.fill(Buffer.alloc(1000)))).code).toBe('ERR_DOWNLOAD_STALLED');
    },
  );

  test('an origin nobody answers at', async () => {
    const error = await errorOf(downloaderOf().download(signed('http://127.0.0.1:1/a')));
    expect(error).toMatchObject({ code: 'ERR_DOWNLOAD_UNREACHABLE', retryable: true });
  });

  test("the caller's reason ends it, and so does destroy", async () => {
    const controller = new AbortController();
    const url = await raw(`${head}half`, () => undefined);
    const download = await downloaderOf().download(signed(url), { signal: controller.signal });
    const body = download.body[Symbol.asyncIterator]();
    await body.next();
    const next = body.next();
    controller.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');

    const other = await downloaderOf().download(signed(await raw(`${head}half`, () => undefined)));
    other.destroy();
    expect((await errorOf(bytesOf(other))).retryable).toBe(true);
  });

  test('a reader that stops frees the socket', async () => {
    const closed = Promise.withResolvers<undefined>();
    const url = await raw(`${head}half`, (socket) => socket.once('close', () => closed.resolve(undefined)));
    const download = await downloaderOf().download(signed(url));
    for await (const _chunk of download.body) break;
    await closed.promise;
  });

  test('a slow reader is not a stalled origin, and holds the origin back', async () => {
    let sent = 0;
    const origin = await serve((_request, response) => {
      const block = Buffer.alloc(64 * 1024);
      const more = () => {
        while (sent < 64 * 1024 * 1024) {
          sent += block.length;
          if (!response.write(block)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    });
    const download = await downloaderOf({ idleTimeoutMs: 400 }).download(signed(origin.url));
    const body = download.body[Symbol.asyncIterator]();
    const first = await body.next();
    let received = first.done === true ? 0 : first.value.byteLength;
    // Until the origin cannot send more, and the idle time has passed twice over.
    const began = performance.now();
    let last = -1;
    await expect
      .poll(
        () => {
          const still = last === sent && performance.now() - began > 1000;
          last = sent;
          return still;
        },
        { interval: 100, timeout: 15_000 },
      )
      .toBe(true);
    expect(sent).toBeLessThan(32 * 1024 * 1024);
    for (let step = await body.next(); step.done !== true; step = await body.next())
      received += step.value.byteLength;
    expect(received).toBe(64 * 1024 * 1024);
  });
});

describe('where downloads may go', () => {
  async function refusal(url: string, rules: DownloadRules = strict, addresses: readonly string[] = []) {
    const downloader = downloaderOf({
      rules,
      resolve: () =>
        Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))),
    });
    const error = await errorOf(downloader.download(signed(url)));
    expect(error.message).not.toContain('5ec3e7');
    return error.code;
  }

  test.each([
    ['http://bucket.s3.test/a'],
    ['ftp://bucket.s3.test/a'],
    ['https://user:pass@bucket.s3.test/a'],
    ['https://127.0.0.1/a'],
    ['https://2130706433/a'],
    ['https://0x7f.1/a'],
    ['https://[::1]/a'],
    ['https://[::ffff:127.0.0.1]/a'],
    ['https://169.254.169.254/latest/meta-data'],
    ['https://10.0.0.1/a'],
    ['https://0.0.0.0/a'],
  ])('%s is refused', async (url) => {
    expect(await refusal(url)).toBe('ERR_PRESIGNED_REFUSED');
  });

  test.each([
    ['127.0.0.1'],
    ['10.1.2.3'],
    ['192.168.1.1'],
    ['172.16.0.1'],
    ['169.254.169.254'],
    ['100.64.0.1'],
    ['::1'],
    ['fe80::1'],
    ['fd00::1'],
    ['ff02::1'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
  ])('a name that resolves to %s is refused', async (address) => {
    expect(await refusal('https://bucket.s3.test/a', strict, [address])).toBe('ERR_PRESIGNED_REFUSED');
    // One bad address among good ones is enough.
    expect(await refusal('https://bucket.s3.test/a', strict, ['203.1.1.1', address])).toBe(
      'ERR_PRESIGNED_REFUSED',
    );
  });

  test('localhost by name is refused through the real resolver', async () => {
    const error = await errorOf(downloaderOf({ rules: strict }).download(signed('https://localhost/a')));
    expect(error.code).toBe('ERR_PRESIGNED_REFUSED');
  });

  test('plain http never goes to a public address, whatever is allowed', async () => {
    const open: DownloadRules = { allowedHosts: undefined, addresses: { loopback: true, private: true } };
    expect(await refusal('http://bucket.s3.test/a', open, ['8.8.8.8'])).toBe('ERR_PRESIGNED_REFUSED');
    expect(await refusal('http://8.8.8.8/a', open)).toBe('ERR_PRESIGNED_REFUSED');
    expect(await refusal('https://169.254.169.254/a', open)).toBe('ERR_PRESIGNED_REFUSED');
  });

  test('a host that is not on the list is refused', async () => {
    const rules = { ...local, allowedHosts: ['*.s3.test', 'files.test'] };
    expect(await refusal('http://evil.test/a', rules, ['127.0.0.1'])).toBe('ERR_PRESIGNED_REFUSED');
  });

  test('the address that was checked is the one connected to: the name is resolved once', async () => {
    const origin = await serve((_request, response) => response.end('bytes'));
    let asked = 0;
    const downloader = downloaderOf({
      resolve: () => Promise.resolve([{ address: asked++ === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 }]),
    });
    const download = await downloader.download(signed(`http://bucket.s3.test:${origin.port}/a`));
    expect((await bytesOf(download)).toString()).toBe('bytes');
    expect(asked).toBe(1);
    expect(origin.calls[0]?.headers.host).toBe(`bucket.s3.test:${origin.port}`);
  });

  test('loopback is relaxed by a loopback base URL only, or by the setting', async () => {
    const origin = await serve((_request, response) => response.end('bytes'));
    const url = signed(origin.url);
    const near = await clientOf('http://127.0.0.1:1').download(url);
    expect((await bytesOf(near)).toString()).toBe('bytes');
    const far = clientOf('https://gapi.test');
    expect((await errorOf(far.download(url))).code).toBe('ERR_PRESIGNED_REFUSED');
    const allowed = clientOf('https://gapi.test', { download: { allowPrivateAddresses: true } });
    expect((await bytesOf(await allowed.download(url))).toString()).toBe('bytes');
  });

  test('a redirect of a public API to this machine is refused although the name looks public', async () => {
    const api = await serve((_request, response) => json(response, 200, {}));
    const client = clientOf('https://gapi.test', {
      download: { resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]) },
    });
    const error = await errorOf(client.download(signed(`https://bucket.s3.test:${api.port}/a`)));
    expect(error.code).toBe('ERR_PRESIGNED_REFUSED');
    expect(api.calls).toEqual([]);
  });
});

describe('address rules', () => {
  test.each([
    ['8.8.8.8', 'public'],
    ['2600:1f18::1', 'public'],
    ['64:ff9b::808:808', 'public'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b:1::808:808', 'never'],
    ['127.9.9.9', 'loopback'],
    ['10.0.0.1', 'private'],
    ['169.254.169.254', 'never'],
    ['2002:7f00:1::', 'never'],
    ['not an address', 'never'],
  ])('%s is %s', (address, kind) => expect(classifyAddress(address)).toBe(kind));

  test('private ones only where allowed', () => {
    expect(isAddressAllowed('10.0.0.1', true, { loopback: true, private: false })).toBe(false);
    expect(isAddressAllowed('10.0.0.1', false, { loopback: false, private: true })).toBe(true);
  });

  test('loopback hosts', () => {
    expect(['localhost', 'sim.localhost', '127.0.0.1', '[::1]'].every(isLoopbackHost)).toBe(true);
    expect(['localhost.evil.test', '10.0.0.1', 'gapi.test'].some(isLoopbackHost)).toBe(false);
  });

  test('lists of hosts', () => {
    const allowed = ['*.s3.amazonaws.com', 'Files.Test'];
    expect(isHostListed('b.s3.amazonaws.com', allowed)).toBe(true);
    expect(isHostListed('files.test', allowed)).toBe(true);
    expect(isHostListed('s3.amazonaws.com', allowed)).toBe(false);
    expect(isHostListed('evils3.amazonaws.com', allowed)).toBe(false);
    expect(isHostListed('b.s3.amazonaws.com.evil.test', allowed)).toBe(false);
    expect(isHostListed('anything', undefined)).toBe(true);
  });
});
