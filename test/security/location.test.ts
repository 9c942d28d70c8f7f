import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createDownloader } from '../../src/udm/download.ts';
import type { DownloadRules } from '../../src/udm/presigned.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import { all, clientOf, errorOf, json, secrets, serve } from '../udm/support.ts';

/** What an upstream, or whoever sits in its place, can make us do by the address it redirects a file to. */

const strict: DownloadRules = { allowedHosts: undefined, addresses: { loopback: false, private: false } };
/** As with `download.allowPrivateAddresses`. */
const relaxed: DownloadRules = { allowedHosts: undefined, addresses: { loopback: true, private: true } };

/** Follows a Location that a real API answers, with the rules of an upstream that is not on this machine. */
async function follow(location: string, rules = strict, addresses: readonly string[] = []) {
  const api = await serve((_request, response) => response.writeHead(303, { location }).end());
  const url = await clientOf(api.url).locateFile('a.zip');
  if (!url) throw new Error('expected a URL');
  const downloader = createDownloader({
    rules,
    idleTimeoutMs: 5000,
    redactor: createRedactor(),
    ...(addresses.length === 0
      ? {}
      : {
          resolve: () =>
            Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))),
        }),
  });
  onTestFinished(() => downloader.close());
  return errorOf(downloader.download(url));
}

/** Something on this machine that nobody must reach. */
async function internalService(): Promise<{ port: number; visits: () => number }> {
  let visits = 0;
  const server = createServer((socket) => {
    visits += 1;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, visits: () => visits };
}

describe('a Location', () => {
  test.each([
    'ftp://files.test/a',
    'file:///etc/passwd',
    'gopher://127.0.0.1:6379/_FLUSHALL',
    'data:text/plain,hello',
    'javascript:alert(1)',
    'http://files.test/a',
    'https://user:pass@files.test/a',
    'https://user@files.test/a',
  ])('of another kind is not fetched: %s', async (location) => {
    expect((await follow(location)).code).toBe('ERR_PRESIGNED_REFUSED');
  });

  test.each([
    'https://127.0.0.1:PORT/',
    'https://127.0.0.1.:PORT/',
    'https://127.1:PORT/',
    'https://2130706433:PORT/',
    'https://0x7f000001:PORT/',
    'https://017700000001:PORT/',
    'https://localhost:PORT/',
    'https://LOCALHOST.:PORT/',
    'https://[::1]:PORT/',
    'https://[::ffff:127.0.0.1]:PORT/',
    'https://[::ffff:7f00:1]:PORT/',
    'https://0.0.0.0:PORT/',
    // 1, 2 and 7 in circles.
    'https://%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1:PORT/',
    '//127.0.0.1:PORT/',
    'http://127.0.0.1:PORT/',
  ])('to this machine reaches nothing: %s', async (location) => {
    const service = await internalService();
    const error = await follow(location.replace('PORT', String(service.port)));
    // Not every resolver knows localhost with its dot.
    if (location.includes('LOCALHOST.'))
      expect(error.code).toMatch(/^ERR_(PRESIGNED_REFUSED|DOWNLOAD_UNREACHABLE)$/);
    else expect(error.code).toBe('ERR_PRESIGNED_REFUSED');
    expect(service.visits()).toBe(0);
  });

  test.each([
    'https://169.254.169.254/latest/meta-data/iam/security-credentials/',
    'http://169.254.169.254/latest/meta-data/',
    'https://2852039166/',
    'https://0xa9fea9fe/',
    'https://0251.0376.0251.0376/',
    'https://169.254.43518/',
    'https://[::ffff:169.254.169.254]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[fe80::a9fe:a9fe]/',
    'https://[fd00:ec2::254]/latest/meta-data/',
    'https://[fd20:ce::254]/computeMetadata/v1/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[2002:a9fe:a9fe::]/',
    'https://100.100.100.200/latest/meta-data/',
    'https://168.63.129.16/machine',
  ])('to a metadata service is refused, private addresses allowed or not: %s', async (location) => {
    expect((await follow(location)).code).toBe('ERR_PRESIGNED_REFUSED');
    expect((await follow(location, relaxed)).code).toBe('ERR_PRESIGNED_REFUSED');
  });

  test.each(['169.254.169.254', 'fd00:ec2::254', '100.100.100.200', '168.63.129.16', '::ffff:a9fe:a9fe'])(
    'to a harmless name that resolves to %s is refused, alone or among good addresses',
    async (address) => {
      for (const rules of [strict, relaxed])
        for (const addresses of [[address], ['203.1.1.1', address]])
          expect((await follow('https://files.test/a', rules, addresses)).code).toBe('ERR_PRESIGNED_REFUSED');
    },
  );

  test('back to the API itself is asked for without our credentials', async () => {
    const api = await serve((request, response, number) => {
      if (number === 1) response.writeHead(303, { location: '/udm/v10/export/jobs' }).end();
      else json(response, request.headers.authorization === undefined ? 401 : 200, {});
    });
    const client = clientOf(api.url);
    const url = await client.locateFile('a.zip');
    expect(url && (await errorOf(client.download(url))).code).toBe('ERR_PRESIGNED_DENIED');
    const [, second] = api.calls;
    expect(second?.path).toBe('/udm/v10/export/jobs');
    expect(second?.headers).not.toHaveProperty('authorization');
    expect(second?.headers).not.toHaveProperty('x-api-key');
    expect(JSON.stringify(second)).not.toContain(secrets.apiKey);
  });

  test('whose host redirects on, in a loop or elsewhere, is asked once', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(302, { location: `http://127.0.0.1:${origin.port}/again` }).end(),
    );
    const api = await serve((_request, response) =>
      response.writeHead(303, { location: `${origin.url}/a?X-Amz-Signature=5ec3e7` }).end(),
    );
    const client = clientOf(api.url);
    const url = await client.locateFile('a.zip');
    const error = url && (await errorOf(client.download(url)));
    expect(error?.code).toBe('ERR_PRESIGNED_REFUSED');
    expect(error?.message).toContain('redirects elsewhere');
    expect(origin.calls).toHaveLength(1);
  });
});

describe('an API that redirects', () => {
  test('is not followed, and whoever it names gets neither token nor key', async () => {
    const thief = await serve((_request, response) => json(response, 200, []));
    for (const status of [301, 302, 303, 307, 308]) {
      const api = await serve((_request, response) =>
        response.writeHead(status, { location: `${thief.url}/udm/v10/export/jobs` }).end(),
      );
      const client = clientOf(api.url);
      expect((await errorOf(all(client.listJobs()))).code).toBe('ERR_UDM_ANSWER');
      expect((await errorOf(client.deleteJob('1'))).code).toBe('ERR_UDM_ANSWER');
      expect(api.calls).toHaveLength(2);
    }
    expect(thief.calls).toEqual([]);
  });

  test('does not get the password sent elsewhere either', async () => {
    const thief = await serve((_request, response) => json(response, 200, {}));
    const api = await serve(
      () => undefined,
      (_request, response) => response.writeHead(307, { location: `${thief.url}/auth/v3/oauth/token` }).end(),
    );
    const error = await errorOf(clientOf(api.url).checkToken());
    expect(error.code).toMatch(/^ERR_UDM_/);
    expect([...thief.calls, ...thief.tokens]).toEqual([]);
    expect(api.tokens).toHaveLength(1);
  });

  test('to itself for ever is asked once', async () => {
    const api = await serve((_request, response) => response.writeHead(302, { location: '/' }).end());
    expect((await errorOf(clientOf(api.url).listSources())).code).toBe('ERR_UDM_ANSWER');
    expect(api.calls).toHaveLength(1);
  });
});
