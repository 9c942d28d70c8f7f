import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ChunkedDecoder } from '../../src/udm/chunked.ts';
import { HttpGet } from '../../src/udm/http-get.ts';
import { framingOf, parseHead } from '../../src/udm/http-head.ts';
import { tlsCertificate, tlsKey } from './tls-certificate.ts';

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function client(idleTimeoutMs = 10_000): HttpGet {
  const http = new HttpGet({
    idleTimeoutMs,
    lookup: () => (_host, options, callback) => {
      if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
      else callback(null, '127.0.0.1', 4);
    },
  });
  onTestFinished(() => http.close());
  return http;
}

/** A server that writes these pieces for each request, by hand. */
async function raw(...pieces: (string | Buffer)[]): Promise<{ url: URL; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', () => {
      void (async () => {
        for (const piece of pieces) {
          socket.write(piece);
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
    });
    onTestFinished(() => {
      socket.destroy();
    });
  });
  return { url: new URL(`http://127.0.0.1:${await listen(server)}/a`), sockets };
}

describe('the head of an answer', () => {
  test('is read field by field, whatever the case', () => {
    const head = parseHead('HTTP/1.1 206 Partial Content\r\nETag:  "a" \r\nX-One: 1\r\nx-one: 2\r\nEmpty:');
    expect(head?.status).toBe(206);
    expect(Object.fromEntries(head?.headers ?? [])).toEqual({ etag: '"a"', 'x-one': '1, 2', empty: '' });
    expect(head?.persistent).toBe(true);
    expect(parseHead('HTTP/1.0 200 OK')?.persistent).toBe(false);
    expect(parseHead('HTTP/1.1 200\r\nConnection: Close')?.persistent).toBe(false);
  });

  test.each([
    ['SSH-2.0-OpenSSH_9.2'],
    ['HTTP/2 200'],
    ['HTTP/1.1 20 OK'],
    ['HTTP/1.1 200 OK\r\nno colon'],
    ['HTTP/1.1 200 OK\r\nA: 1\r\n folded: 2'],
    ['HTTP/1.1 200 OK\r\nbad name: 1'],
    ['HTTP/1.1 200 OK\r\nA: b\rc'],
    ['HTTP/1.1 200 OK\r\nA: b\nContent-Length: 5'],
    ['HTTP/1.1 200 OK\r\nA: \0'],
  ])('%j is none', (text) => expect(parseHead(text)).toBeUndefined());

  test.each([
    ['Content-Length: 5', { kind: 'length', bytes: 5 }],
    ['Transfer-Encoding: chunked', { kind: 'chunked' }],
    ['X: 1', { kind: 'close' }],
    ['Content-Length: 5\r\nTransfer-Encoding: chunked', undefined],
    ['Transfer-Encoding: gzip, chunked', undefined],
    ['Content-Length: 5\r\nContent-Length: 6', undefined],
    ['Content-Length: -1', undefined],
    ['Content-Length: 0x10', undefined],
  ])('%j says how long the body is', (fields, framing) => {
    const head = parseHead(`HTTP/1.1 200 OK\r\n${fields}`);
    expect(head && framingOf(head)).toEqual(framing);
  });
});

describe('chunks', () => {
  function decode(input: Buffer, cuts: readonly number[]): { content: Buffer; done: boolean } {
    const decoder = new ChunkedDecoder();
    const content: Buffer[] = [];
    let rest = input;
    for (const cut of [...cuts, input.length]) {
      let piece = rest.subarray(0, Math.max(1, cut));
      rest = rest.subarray(piece.length);
      while (piece.length > 0 && !decoder.done) {
        const { taken, content: found } = decoder.take(piece);
        content.push(found);
        piece = piece.subarray(taken);
      }
    }
    return { content: Buffer.concat(content), done: decoder.done };
  }

  test('are put together however they arrive', () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 8 });
    fc.assert(
      fc.property(chunks, fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 200 }), (parts, cuts) => {
        const body = Buffer.concat([
          ...parts.flatMap((part) => [
            Buffer.from(`${part.length.toString(16)};name=value\r\n`),
            part,
            Buffer.from('\r\n'),
          ]),
          Buffer.from('0\r\nTrailer: x\r\n\r\n'),
        ]);
        expect(decode(body, cuts)).toEqual({ content: Buffer.concat(parts), done: true });
      }),
    );
  });

  test.each([['zz\r\n'], ['-5\r\nhello\r\n'], ['2\r\nabc\r\n'], ['a'.repeat(10_000)], ['\r\n']])(
    '%j are none',
    (text) => expect(() => decode(Buffer.from(text), [])).toThrow(),
  );
});

describe('a body', () => {
  test('goes into the memory it is given, over several answers on one connection', async () => {
    const content = randomBytes(3 * 1024 * 1024 + 17);
    let connections = 0;
    const server = createHttpServer((_request, response) => response.end(content));
    server.on('connection', () => (connections += 1));
    const url = new URL(`http://127.0.0.1:${await listen(server)}/a`);
    const http = client();
    for (let round = 0; round < 3; round += 1) {
      const answer = await http.get(url, {});
      expect(answer.length).toBe(content.length);
      const target = Buffer.alloc(content.length);
      let seen = 0;
      // In two halves: what follows the first must not get lost.
      const half = 1024 * 1024 + round;
      expect(await answer.read(target.subarray(0, half), half, (bytes) => (seen += bytes))).toBe(half);
      await answer.read(target.subarray(half), target.length - half, (bytes) => (seen += bytes));
      expect(target.equals(content)).toBe(true);
      expect(seen).toBe(content.length);
      expect(await answer.read(Buffer.alloc(1), 1)).toBe(0);
    }
    expect(connections).toBe(1);
  });

  test('never writes beyond its end, though the next answer follows at once', async () => {
    const { url } = await raw('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody', 'HTTP/1.1 999 uninvited');
    const answer = await client().get(url, {});
    const target = Buffer.alloc(10, '.');
    expect(await answer.read(target, 10)).toBe(4);
    expect(target.toString()).toBe('body......');
  });

  test('over TLS, with the certificate checked', async () => {
    const content = randomBytes(2 * 1024 * 1024);
    const server = createHttpsServer({ key: tlsKey, cert: tlsCertificate }, (_request, response) =>
      response.end(content),
    );
    const port = await listen(server);
    const url = new URL(`https://bucket.s3.test:${port}/a`);
    await expect(client().get(url, {})).rejects.toThrow(/self-signed/);
    setDefaultCACertificates([...getCACertificates(), tlsCertificate]);
    onTestFinished(() => setDefaultCACertificates(getCACertificates('bundled')));
    const http = client();
    for (let round = 0; round < 2; round += 1) {
      const answer = await http.get(url, {});
      const target = Buffer.alloc(content.length);
      await answer.read(target, content.length);
      expect(target.equals(content)).toBe(true);
    }
    await expect(client().get(new URL(`https://other.test:${port}/a`), {})).rejects.toThrow(/altname/i);
  });

  test('in chunks, into targets of any size', async () => {
    const pieces = [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      '5\r\nhel',
      'lo\r\n6\r\n world\r',
      '\n0\r\n\r\n',
    ];
    for (const size of [1, 3, 100]) {
      const { url } = await raw(...pieces);
      const answer = await client().get(url, {});
      let text = '';
      for (;;) {
        const target = Buffer.alloc(size);
        const got = await answer.read(target, 1);
        if (got === 0) break;
        text += target.toString('latin1', 0, got);
      }
      expect(text).toBe('hello world');
    }
  });

  test('hints before the answer are skipped', async () => {
    const { url } = await raw(
      'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    );
    const answer = await client().get(url, {});
    expect(answer.status).toBe(200);
  });
});

describe('an answer that is none', () => {
  test.each([
    ['SMTP ready\r\n\r\n', /not HTTP/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', /two things/],
    [`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(400_000)}`, /too long/],
  ])('%#: is refused', async (text, says) => {
    const { url } = await raw(text);
    await expect(client().get(url, {})).rejects.toThrow(says);
  });

  test('a head that drips byte by byte has no more time than a silent one', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      const timer = setInterval(() => socket.write('H'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    const url = new URL(`http://127.0.0.1:${await listen(server)}/a`);
    await expect(client(300).get(url, {})).rejects.toThrow(/took too long/);
  });

  test('bytes on a connection that rests end it', async () => {
    const { url, sockets } = await raw('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const http = client();
    await (await http.get(url, {})).read(Buffer.alloc(2), 2);
    const [first] = sockets;
    if (!first) throw new Error('one connection');
    const closed = new Promise((resolve) => first.once('close', resolve));
    first.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    await closed;
    const answer = await http.get(url, {});
    const target = Buffer.alloc(2);
    await answer.read(target, 2);
    expect(target.toString()).toBe('ok');
    expect(sockets).toHaveLength(2);
  });
});
