import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createS3Sink } from '../../src/sinks/s3.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createDownloader } from '../../src/udm/download.ts';
import { SignedUrl } from '../../src/udm/presigned.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import { clientOf, errorOf, logger } from '../udm/support.ts';
import { tlsCertificate, tlsKey } from '../udm/tls-certificate.ts';

/** A server that nobody vouches for: it has a certificate of its own making. */
async function impostor() {
  const requests: string[] = [];
  const server = createServer({ key: tlsKey, cert: tlsCertificate }, (request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    response.end('[]');
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, requests };
}

describe('a server that nobody vouches for', () => {
  test('is no API: it gets no request, and so no token, key or password', async () => {
    const { url, requests } = await impostor();
    const error = await errorOf(clientOf(url, { auth: { grant: 'token', token: 'fixed' } }).listSources());
    expect(error.code).toBe('ERR_UDM_UNAVAILABLE');
    expect(error.message).toMatch(/self-signed certificate/);
    expect((await errorOf(clientOf(url).checkToken())).code).toBe('ERR_UDM_UNAVAILABLE');
    expect(requests).toEqual([]);
  });

  test('is no origin of files: it gets no signature', async () => {
    const { url, requests } = await impostor();
    const downloader = createDownloader({
      rules: { allowedHosts: undefined, addresses: { loopback: true, private: false } },
      idleTimeoutMs: 5000,
      redactor: createRedactor(),
    });
    onTestFinished(() => downloader.close());
    const error = await errorOf(
      downloader.download(new SignedUrl(new URL(`${url}/a?X-Amz-Signature=5ec3e7`))),
    );
    expect(error.code).toBe('ERR_DOWNLOAD_UNREACHABLE');
    expect(error.message).toMatch(/self-signed certificate/);
    expect(requests).toEqual([]);
  });

  test('is no store', async () => {
    const { url, requests } = await impostor();
    const sink = createS3Sink('lake', {
      bucket: 'exports',
      endpoint: url,
      forcePathStyle: true,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    });
    onTestFinished(() => sink.close());
    await expect(sink.put('a', Readable.from([Buffer.from('x')]), { length: 1 })).rejects.toMatchObject({
      code: 'ERR_SINK_UNAVAILABLE',
    });
    expect(requests).toEqual([]);
  });
});

test('a Postgres without TLS is not spoken to where the URL asks for it', async () => {
  const { createTestDatabase } = await import('../support/postgres.ts');
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const url = new URL(database.url);
  url.searchParams.set('sslmode', 'verify-full');
  await expect(openDatabase(url.href, 1, logger)).rejects.toMatchObject({
    code: 'ERR_DATABASE',
    message: expect.stringMatching(/does not support SSL/) as unknown,
  });
});
