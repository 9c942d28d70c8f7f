import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createSink } from '../../src/sinks/index.ts';
import type { Sink } from '../../src/sinks/sink.ts';
import { Bandwidth } from '../../src/transfer/bandwidth.ts';
import { Memory } from '../../src/transfer/memory.ts';
import { Pace } from '../../src/transfer/pace.ts';
import { Source } from '../../src/transfer/source.ts';
import { transfer } from '../../src/transfer/transfer.ts';
import { createDownloader } from '../../src/udm/download.ts';
import { SignedUrl } from '../../src/udm/presigned.ts';
import { createRedactor } from '../../src/udm/redact.ts';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { serve } from '../udm/support.ts';

const MiB = 1024 * 1024;
const content = randomBytes(2 * MiB);
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex');

let server: S3Server;
let sink: Sink;
beforeAll(async () => {
  server = await startS3Server('fauxqs');
  const { endpoint, region, credentials } = server;
  const bucket = await server.createBucket();
  sink = createSink('s3', { type: 's3', bucket, endpoint, region, credentials, forcePathStyle: true });
});
afterAll(async () => {
  sink.close();
  await server.stop();
});

/** Brings a file from an origin that answers the n-th request (from 1) with these bytes under this ETag. */
async function bring(
  key: string,
  origin: {
    etag: string;
    headers?: Record<string, string>;
    chunked?: boolean;
    bytes: (nth: number) => Buffer;
  },
  bandwidth?: Bandwidth,
) {
  let asked = 0;
  const { url } = await serve((_request, response) => {
    const bytes = origin.bytes((asked += 1));
    const length = origin.chunked === true ? {} : { 'content-length': bytes.length };
    response.writeHead(200, { etag: origin.etag, ...length, ...origin.headers }).end(bytes);
  });
  const downloader = createDownloader({
    rules: { allowedHosts: undefined, addresses: { loopback: true, private: false } },
    idleTimeoutMs: 10_000,
    redactor: createRedactor(),
  });
  onTestFinished(() => downloader.close());
  const result = await transfer({
    source: new Source(
      () => Promise.resolve(new SignedUrl(new URL(url))),
      (signed, options) => downloader.download(signed, options),
    ),
    sink,
    key,
    journal: {
      load: () => Promise.resolve(undefined),
      begun: () => Promise.resolve(),
      sent: () => Promise.resolve(),
      forget: () => Promise.resolve(),
    },
    memory: new Memory(32 * MiB),
    pace: new Pace(),
    bandwidth,
    signal: new AbortController().signal,
    put: {},
    announcedSize: content.length,
  });
  return { result, asked };
}

const damaged = Buffer.from(content);
damaged.writeUInt8(damaged.readUInt8(1000) ^ 1, 1000);

describe.each([
  ['in one object', false],
  ['in a stream of chunks', true],
])('the MD5 in the ETag of a source that is read %s', (_how, chunked) => {
  test('that fits is asked for once', async () => {
    const { asked } = await bring('fits', { etag: `"${md5(content)}"`, chunked, bytes: () => content });
    expect(asked).toBe(1);
  });

  test('that does not fit, since the bytes were damaged on the way, fails the attempt', async () => {
    const origin = {
      etag: `"${md5(content)}"`,
      chunked,
      bytes: (nth: number) => (nth === 1 ? damaged : content),
    };
    await expect(bring('damaged', origin)).rejects.toMatchObject({ code: 'ERR_SOURCE_MD5', retryable: true });
  });

  test('that is none, as the same bytes come twice, is let be', async () => {
    const { asked, result } = await bring('none', {
      etag: `"${'0'.repeat(32)}"`,
      chunked,
      bytes: () => content,
    });
    expect(asked).toBe(2);
    expect(result.bytes).toBe(content.length);
  });

  test.each([
    [{ 'x-amz-server-side-encryption': 'aws:kms' }],
    [{ 'x-amz-server-side-encryption-customer-algorithm': 'AES256' }],
  ])('is no MD5 under %j', async (headers) => {
    const origin = { etag: `"${'0'.repeat(32)}"`, headers, chunked, bytes: () => content };
    expect((await bring('encrypted', origin)).asked).toBe(1);
  });
});

test('a bandwidth limit is asked about every stretch of a file', async () => {
  for (const chunked of [false, true]) {
    const granted: number[] = [];
    class Watched extends Bandwidth {
      override take(bytes: number): number {
        granted.push(bytes);
        return super.take(bytes);
      }
    }
    const limit = new Watched(1024 * MiB);
    await bring('slow', { etag: '"x-2"', chunked, bytes: () => content }, limit);
    expect(granted.reduce((sum, bytes) => sum + bytes)).toBeGreaterThanOrEqual(content.length);
    expect(granted.length).toBeGreaterThanOrEqual(8);
  }
});
