import { inspect } from 'node:util';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { proveStored } from '../../src/sinks/index.ts';
import type { Sink, SinkError } from '../../src/sinks/index.ts';
import { createS3Sink } from '../../src/sinks/s3.ts';
import type { S3SinkOptions } from '../../src/sinks/s3.ts';
import { cephInstalled, startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { bytesOf, crc32, gather, stream } from './bodies.ts';
import { startRecordingProxy } from './recording-proxy.ts';
import type { RecordingProxy } from './recording-proxy.ts';
import { concurrency, optionsFor, partSize, plainClient } from './s3-harness.ts';

function base64(crc: number): string {
  return Buffer.from(crc.toString(16).padStart(8, '0'), 'hex').toString('base64');
}

function errorBody(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>no</Message></Error>`;
}

async function failureOf(work: Promise<unknown>): Promise<SinkError> {
  return work.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as SinkError,
  );
}

const kinds = cephInstalled() ? (['fauxqs', 'ceph'] as const) : (['fauxqs'] as const);

describe.each(kinds)('the S3 sink on %s', (kind) => {
  let server: S3Server;
  let proxy: RecordingProxy;
  let bucket: string;
  let sink: Sink;
  let opened: Sink[];

  beforeAll(async () => {
    server = await startS3Server(kind);
    bucket = await server.createBucket();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    proxy = await startRecordingProxy(server.endpoint);
    opened = [];
    sink = open();
  });
  afterEach(async () => {
    for (const one of opened) one.close();
    await proxy.stop();
  });

  function open(change: Partial<S3SinkOptions> = {}): Sink {
    const made = createS3Sink('bucket', { ...optionsFor(server, bucket, proxy.endpoint), ...change });
    opened.push(made);
    return made;
  }
  const stored = async (key: string) => gather(await sink.read(key));
  const large = bytesOf(2 * partSize + 5, 'large');

  describe('on the wire', () => {
    it('sends a small body as one PUT with the CRC-32 of its bytes', async () => {
      const bytes = Buffer.from('123456789');
      await sink.put('small', stream(bytes), { contentType: 'application/zip' });
      expect(proxy.requests.map(({ operation }) => operation)).toEqual(['PutObject']);
      expect(proxy.requests[0]?.headers).toMatchObject({
        'content-length': '9',
        'content-type': 'application/zip',
        'x-amz-checksum-crc32': 'y/Q5Jg==',
      });
      expect(proxy.requests[0]?.body.equals(bytes)).toBe(true);
    });

    it('sends each part with the CRC-32 of its bytes', async () => {
      const result = await sink.put('large', stream(large));
      expect(result).toMatchObject({ parts: 3, bytes: large.length, crc32: crc32(large) });
      const parts = proxy
        .of('UploadPart')
        .toSorted((a, b) => Number(a.query.get('partNumber')) - Number(b.query.get('partNumber')));
      expect(parts.map(({ body }) => body.length)).toEqual([partSize, partSize, 5]);
      expect(Buffer.concat(parts.map(({ body }) => body)).equals(large)).toBe(true);
      for (const part of parts) expect(part.headers['x-amz-checksum-crc32']).toBe(base64(part.crc32));
      expect(proxy.of('CreateMultipartUpload')[0]?.headers).toMatchObject({
        'x-amz-checksum-algorithm': 'CRC32',
        'x-amz-checksum-type': 'FULL_OBJECT',
      });
      const completion = proxy.of('CompleteMultipartUpload')[0]?.headers;
      expect(completion).toHaveProperty('x-amz-mp-object-size', String(large.length));
      // Neither server here says that it keeps a checksum of the whole.
      expect(completion).not.toHaveProperty('x-amz-checksum-crc32');
    });

    it('never uses a trailer, chunks or Expect, and declares each length', async () => {
      await sink.put('empty', stream(Buffer.alloc(0)));
      await sink.put('small', stream(Buffer.from('x')));
      await sink.put('large', stream(large));
      await sink.stat('large');
      await stored('large');
      await sink.remove('large');
      expect(proxy.requests.length).toBeGreaterThan(8);
      for (const { headers, body, operation } of proxy.requests) {
        expect(headers, operation).not.toHaveProperty('x-amz-trailer');
        expect(headers, operation).not.toHaveProperty('transfer-encoding');
        expect(headers, operation).not.toHaveProperty('expect');
        expect(headers['content-encoding'] ?? '', operation).not.toContain('aws-chunked');
        expect(headers['x-amz-content-sha256'], operation).not.toMatch(/^STREAMING/);
        if (operation.startsWith('Put') || operation === 'UploadPart')
          expect(headers['content-length']).toBe(String(body.length));
      }
    });

    it('asks for encryption, class and owner as configured', async () => {
      proxy.intervene = ({ operation }) =>
        operation === 'CreateMultipartUpload'
          ? { answer: { status: 403, body: errorBody('AccessDenied') } }
          : { answer: { status: 200 } };
      const configured = open({
        sse: { type: 'aws:kms', kmsKeyId: 'key-1', bucketKey: true },
        storageClass: 'STANDARD_IA',
        expectedBucketOwner: '123456789012',
      });
      await configured.put('small', stream(Buffer.from('x')));
      await expect(configured.put('large', stream(large))).rejects.toMatchObject({ code: 'ERR_SINK_ACCESS' });
      for (const operation of ['PutObject', 'CreateMultipartUpload']) {
        expect(proxy.of(operation)[0]?.headers).toMatchObject({
          'x-amz-server-side-encryption': 'aws:kms',
          'x-amz-server-side-encryption-aws-kms-key-id': 'key-1',
          'x-amz-server-side-encryption-bucket-key-enabled': 'true',
          'x-amz-storage-class': 'STANDARD_IA',
          'x-amz-expected-bucket-owner': '123456789012',
        });
      }
    });

    it('puts its prefix before each key', async () => {
      const prefixed = open({ prefix: '/some/where/' });
      expect(prefixed.uri).toBe(`s3://${bucket}/some/where`);
      await prefixed.put('a', stream(Buffer.from('x')));
      expect((await stored('some/where/a')).toString()).toBe('x');
      await expect(prefixed.put('x'.repeat(1014), stream(Buffer.from('x')))).rejects.toMatchObject({
        code: 'ERR_KEY',
      });
    });

    it('keeps connections open', async () => {
      await sink.put('large', stream(large));
      await sink.stat('large');
      const ports = new Set(proxy.requests.map(({ clientPort }) => clientPort));
      expect(ports.size).toBeLessThanOrEqual(concurrency);
    });
  });

  it('stops pulling the body while the store does not answer', async () => {
    const chunk = 1024 * 1024;
    const total = 12 * partSize;
    const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
    let held = 0;
    proxy.intervene = ({ operation }) => {
      if (operation !== 'UploadPart') return undefined;
      held += 1;
      return released;
    };
    let pulled = 0;
    const body = async function* () {
      for (; pulled < total; pulled += chunk) {
        await nextTurn();
        yield Buffer.alloc(chunk);
      }
    };
    const putting = sink.put('slow', body());
    await expect.poll(() => held, { timeout: 10_000 }).toBe(concurrency);
    for (let turn = 0; turn < 1000; turn += 1) await nextTurn();
    expect(held).toBe(concurrency);
    expect(pulled).toBeLessThanOrEqual((concurrency + 1) * partSize + chunk);
    release(undefined);
    expect(await putting).toMatchObject({ bytes: total, parts: 12 });
  });

  describe('when S3 keeps the checksum of the whole object', () => {
    it('sends that with the completion, and reads it back', async () => {
      const whole = crc32(large);
      const kept = { 'x-amz-checksum-crc32': base64(whole), 'x-amz-checksum-type': 'FULL_OBJECT' };
      proxy.intervene = ({ operation }) => {
        if (operation === 'CreateMultipartUpload')
          return {
            addHeaders: { 'x-amz-checksum-algorithm': 'CRC32', 'x-amz-checksum-type': 'FULL_OBJECT' },
          };
        return operation === 'HeadObject' ? { addHeaders: kept } : undefined;
      };
      await sink.put('kept', stream(large));
      const completion = proxy.of('CompleteMultipartUpload')[0];
      expect(completion?.headers).toMatchObject(kept);
      for (const part of proxy.of('UploadPart'))
        expect(completion?.body.toString()).toContain(`<ChecksumCRC32>${base64(part.crc32)}</ChecksumCRC32>`);
      expect(await proveStored(sink, 'kept', { bytes: large.length, crc32: whole }, 'head')).toMatchObject({
        level: 'checksum',
        crc32: whole,
      });
      expect(proxy.of('HeadObject')[0]?.headers['x-amz-checksum-mode']).toBe('ENABLED');
    });

    it('does not take a composite checksum for it', async () => {
      proxy.intervene = ({ operation }) =>
        operation === 'HeadObject' ? { addHeaders: { 'x-amz-checksum-crc32': 'y/Q5Jg==-3' } } : undefined;
      const { bytes, crc32: sent } = await sink.put('composite', stream(large));
      expect(await proveStored(sink, 'composite', { bytes, crc32: sent }, 'head')).toMatchObject({
        level: 'size',
      });
    });
  });

  describe('when the completion goes wrong', () => {
    const complete = 'CompleteMultipartUpload';

    it.each([1, Infinity])('finds the object if the first %d answers are lost', async (lost) => {
      await sink.put('lost', stream(bytesOf(large.length, 'same size as before')));
      proxy.requests.length = 0;
      let answers = 0;
      proxy.intervene = ({ operation }) =>
        operation === complete && (answers += 1) <= lost ? { loseAnswer: true } : undefined;
      const result = await sink.put('lost', stream(large));
      expect(result).toMatchObject({ bytes: large.length, crc32: crc32(large), parts: 3 });
      expect(proxy.of(complete).length).toBeGreaterThan(1);
      expect((await stored('lost')).equals(large)).toBe(true);
      expect((await sink.stat('lost'))?.metadata).toEqual({}); // Not our marker.
    });

    it.each([
      ['500', 'ERR_SINK_UNAVAILABLE', { status: 500, body: errorBody('InternalError') }],
      ['200 with an error in it', 'ERR_SINK_UNAVAILABLE', { status: 200, body: errorBody('InternalError') }],
      ['200 without a body', 'ERR_SINK_UNAVAILABLE', { status: 200 }],
      [
        '409 of a write between',
        'ERR_UPLOAD_GONE',
        { status: 409, body: errorBody('ConditionalRequestConflict') },
      ],
      [
        '409 of another at work',
        'ERR_SINK_UNAVAILABLE',
        { status: 409, body: errorBody('OperationAborted') },
      ],
      [
        '412 of a bucket that keeps what it has',
        'ERR_SINK_REFUSED',
        { status: 412, body: errorBody('PreconditionFailed') },
      ],
    ])(
      'fails after %s by %s, keeps an old object of the same size and removes the parts',
      async (_what, code, answer) => {
        const old = bytesOf(large.length, 'old');
        await sink.put('failed', stream(old));
        proxy.intervene = ({ operation }) => (operation === complete ? { answer } : undefined);
        const error = await failureOf(sink.put('failed', stream(large)));
        expect(error).toMatchObject({ code, retryable: code !== 'ERR_SINK_REFUSED' });
        expect((await stored('failed')).equals(old)).toBe(true);
        expect(proxy.of('AbortMultipartUpload')).toHaveLength(1);
      },
    );

    it('succeeds if a completion overtakes the abort', async () => {
      let asked = 0;
      proxy.intervene = ({ operation }) => {
        if (operation === complete) return { loseAnswer: true };
        // The object is not there yet when first looked for.
        return operation === 'HeadObject' && (asked += 1) === 1 ? { answer: { status: 404 } } : undefined;
      };
      expect(await sink.put('overtaken', stream(large))).toMatchObject({ bytes: large.length, parts: 3 });
      expect(proxy.of('AbortMultipartUpload')).toHaveLength(1);
    });
  });

  it('goes on after passing faults, with the same bytes', async () => {
    const faults = new Map<string, number>();
    proxy.intervene = ({ operation, query }) => {
      const call = `${operation} ${query.get('partNumber') ?? ''}`;
      const times = (faults.get(call) ?? 0) + 1;
      faults.set(call, times);
      if (times === 1) return { answer: { status: 500, body: errorBody('InternalError') } };
      return times === 2 && operation === 'UploadPart' ? { loseAnswer: true } : undefined;
    };
    await sink.put('faults', stream(large));
    expect((await stored('faults')).equals(large)).toBe(true);
  });

  it('stops at the first part that is refused', async () => {
    proxy.intervene = ({ operation, query }) =>
      operation === 'UploadPart' && query.get('partNumber') === '2'
        ? { answer: { status: 403, body: errorBody('AccessDenied') } }
        : undefined;
    const endless = async function* () {
      for (;;) {
        await nextTurn();
        yield Buffer.alloc(1024 * 1024);
      }
    };
    await expect(sink.put('refused', endless())).rejects.toMatchObject({ code: 'ERR_SINK_ACCESS' });
    expect(proxy.of('AbortMultipartUpload')).toHaveLength(1);
    expect(await sink.stat('refused')).toBeUndefined();
  });

  it('gives up on a store that has fallen silent', async () => {
    const hasty = open({ requestTimeoutMs: 100 });
    proxy.intervene = () => new Promise(() => undefined);
    await expect(hasty.put('silent', stream(Buffer.from('x')))).rejects.toMatchObject({
      code: 'ERR_SINK_UNAVAILABLE',
      retryable: true,
      cause: { name: 'TimeoutError' },
    });
  });

  it('says when a body that is read breaks off', async () => {
    await sink.put('broken', stream(large));
    proxy.intervene = ({ operation }) => (operation === 'GetObject' ? { breakAfter: 1000 } : undefined);
    await expect(stored('broken')).rejects.toMatchObject({ code: 'ERR_SINK_UNAVAILABLE', retryable: true });
  });

  describe('sweep', () => {
    it('takes only what lies under its own prefix', async ({ skip }) => {
      skip(kind === 'fauxqs', 'cannot list unfinished uploads');
      const client = plainClient(server);
      for (const key of ['ours/a/1', 'ours/b/1', 'ours-not/a/1'])
        await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: key }));
      client.destroy();
      const later = new Date(Date.now() + 3_600_000);
      expect(await open({ prefix: 'ours' }).sweep('a/', later)).toEqual({ aborted: 1, bytes: 0 });
      expect(await open({ prefix: 'ours' }).sweep('', later)).toEqual({ aborted: 1, bytes: 0 });
      expect(await sink.sweep('', later)).toEqual({ aborted: 1, bytes: 0 });
    });

    it('follows the list from page to page', async ({ skip }) => {
      skip(kind === 'fauxqs', 'cannot list unfinished uploads');
      const client = plainClient(server);
      const ids: (string | undefined)[] = [];
      for (const Key of ['paged/1', 'paged/2', 'paged/3'])
        ids.push((await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))).UploadId);
      client.destroy();
      const id = ids[0] ?? '';
      // The first page, cut short as it is after 1,000 uploads; the second is the server's own.
      const firstPage = `<?xml version="1.0" encoding="UTF-8"?>
        <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
          <IsTruncated>true</IsTruncated>
          <NextKeyMarker>paged/1</NextKeyMarker><NextUploadIdMarker>${id}</NextUploadIdMarker>
          <Upload><Key>paged/1</Key><UploadId>${id}</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>
        </ListMultipartUploadsResult>`;
      proxy.intervene = ({ operation, query }) =>
        operation === 'ListMultipartUploads' && !query.has('key-marker')
          ? { answer: { status: 200, body: firstPage } }
          : undefined;
      expect(await sink.sweep('paged/', new Date(Date.now() + 3_600_000))).toEqual({ aborted: 3, bytes: 0 });
      expect(proxy.of('ListMultipartUploads').at(-1)?.query.get('upload-id-marker')).toBe(id);
      expect(proxy.of('AbortMultipartUpload').map(({ path }) => path)).toEqual(
        ['paged/1', 'paged/2', 'paged/3'].map((key) => `/${bucket}/${key}`),
      );
    });

    it('finds nothing where the store does not know how', async () => {
      proxy.intervene = () => ({ answer: { status: 501, body: errorBody('NotImplemented') } });
      expect(await sink.sweep('', new Date())).toEqual({ aborted: 0, bytes: 0 });
    });
  });

  describe('errors', () => {
    const put = (one: Sink) => failureOf(one.put('key', stream(Buffer.from('x'))));

    it('name a bucket that does not exist', async () => {
      const lost = open({ bucket: 'udm-sync-no-such-bucket' });
      const expected = { code: 'ERR_SINK_BUCKET', retryable: false };
      expect(await put(lost)).toMatchObject(expected);
      expect(await failureOf(lost.put('key', stream(large)))).toMatchObject(expected);
      expect(await failureOf(lost.read('key'))).toMatchObject(expected);
      expect((await put(lost)).message).toContain('s3://udm-sync-no-such-bucket/key');
    });

    it('name the permission that is missing', async ({ skip }) => {
      skip(kind === 'fauxqs', 'does not check who asks');
      const stranger = open({ credentials: server.stranger });
      expect(await put(stranger)).toMatchObject({ code: 'ERR_SINK_ACCESS', retryable: false });
      expect((await put(stranger)).hint).toContain('s3:PutObject');
      expect((await failureOf(stranger.put('key', stream(large)))).hint).toContain('s3:PutObject');
      expect((await failureOf(stranger.stat('key'))).hint).toContain('s3:GetObject');
      expect((await failureOf(stranger.read('key'))).hint).toContain('s3:GetObject');
      expect((await failureOf(stranger.remove('key'))).hint).toContain('s3:DeleteObject');
      expect((await failureOf(stranger.sweep('', new Date()))).hint).toContain(
        's3:ListBucketMultipartUploads',
      );
    });

    it('tell a wrong secret from an unknown access key', async ({ skip }) => {
      skip(kind === 'fauxqs', 'does not check who asks');
      const { accessKeyId } = server.credentials;
      const wrong = await put(open({ credentials: { accessKeyId, secretAccessKey: 'not-the-secret' } }));
      expect(wrong).toMatchObject({
        code: 'ERR_SINK_ACCESS',
        cause: { name: 'SignatureDoesNotMatch', status: 403 },
      });
      expect(wrong.hint).toContain('secret access key');
      const unknown = await put(
        open({ credentials: { accessKeyId: 'nobody', secretAccessKey: 'not-the-secret' } }),
      );
      expect(unknown).toMatchObject({
        code: 'ERR_SINK_ACCESS',
        cause: { name: 'InvalidAccessKeyId', status: 403 },
      });
      expect(unknown.hint).toContain('access key id');
    });

    it('show a refusal of a large single PUT, not a broken connection', async ({ skip }) => {
      skip(kind === 'fauxqs', 'does not check who asks');
      const direct = open({
        endpoint: server.endpoint,
        credentials: server.stranger,
        partSize: 64 * 1024 * 1024,
      });
      const body = stream(bytesOf(32 * 1024 * 1024, 'large single'));
      expect(await failureOf(direct.put('key', body))).toMatchObject({ code: 'ERR_SINK_ACCESS' });
    });
  });

  if (kind !== 'fauxqs') return; // What follows is the same on any server.

  describe('errors that no server here makes', () => {
    const put = (one: Sink) => failureOf(one.put('key', stream(Buffer.from('x'))));

    it.each([
      ['ERR_SINK_REGION', false, 301, 'PermanentRedirect'],
      ['ERR_SINK_REGION', false, 400, 'AuthorizationHeaderMalformed'],
      ['ERR_SINK_ACCESS', false, 400, 'ExpiredToken'],
      ['ERR_SINK_ACCESS', false, 403, 'AccountProblem'],
      ['ERR_SINK_REFUSED', false, 400, 'KMS.DisabledException'],
      ['ERR_SINK_REFUSED', false, 501, 'NotImplemented'],
      ['ERR_SINK_FULL', true, 403, 'QuotaExceeded'],
      ['ERR_SINK_FULL', true, 507, 'XMinioStorageFull'],
      ['ERR_SINK_UNAVAILABLE', true, 400, 'BadDigest'],
      ['ERR_SINK_UNAVAILABLE', true, 500, 'InternalError'],
      ['ERR_SINK_BUCKET', false, 404, 'NotFoundHere'],
    ])('are %s (retryable: %s) for %d %s', async (code, retryable, status, word) => {
      proxy.intervene = () => ({ answer: { status, body: errorBody(word) } });
      expect(await put(sink)).toMatchObject({ code, retryable, cause: { status } });
    });

    it('tell of another region where a HEAD has no body to say so', async () => {
      proxy.intervene = () => ({ answer: { status: 301, headers: { 'x-amz-bucket-region': 'eu-west-1' } } });
      expect(await failureOf(sink.stat('key'))).toMatchObject({ code: 'ERR_SINK_REGION' });
    });

    it('are retryable if nothing listens or the name is unknown', async () => {
      for (const endpoint of ['http://127.0.0.1:1', 'http://no-such-host.invalid'])
        expect(await put(open({ endpoint }))).toMatchObject({
          code: 'ERR_SINK_UNAVAILABLE',
          retryable: true,
        });
    });

    it('say that there are no credentials, or no region', async () => {
      vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
      vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent');
      vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent');
      for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'AWS_REGION', 'AWS_DEFAULT_REGION'])
        vi.stubEnv(name, undefined);
      try {
        const { region, endpoint, forcePathStyle } = optionsFor(server, bucket);
        const nobody = createS3Sink('x', {
          bucket,
          region: region ?? '',
          endpoint: endpoint ?? '',
          forcePathStyle: forcePathStyle ?? true,
        });
        opened.push(nobody);
        expect(await put(nobody)).toMatchObject({ code: 'ERR_SINK_CREDENTIALS', retryable: false });
        const nowhere = createS3Sink('x', { bucket, credentials: server.credentials });
        opened.push(nowhere);
        expect(await put(nowhere)).toMatchObject({ code: 'ERR_SINK_REGION', retryable: false });
      } finally {
        vi.unstubAllEnvs();
      }
    });

    it('never hold a credential or a signature', async () => {
      const credentials = {
        accessKeyId: 'AKIDEXAMPLE',
        secretAccessKey: 'very-secret',
        sessionToken: 'very-session',
      };
      const configured = open({ credentials });
      for (const status of [400, 403, 404, 500]) {
        proxy.intervene = () => ({ answer: { status, body: errorBody('SomethingElse') } });
        const text = inspect(await put(configured), { depth: Infinity, showHidden: true });
        expect(text).toContain('SomethingElse');
        expect(text).not.toMatch(/AKIDEXAMPLE|very-secret|very-session|Signature=|authorization/i);
      }
    });

    it.each([{ partSize: partSize - 1 }, { partSize: 2 ** 31 }, { concurrency: 0 }, { concurrency: 1.5 }])(
      'refuse %j',
      (change) => {
        expect(() => open(change)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
      },
    );
  });
});
