import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createS3Sink } from '../../src/sinks/s3.ts';
import { optionsFor } from '../sinks/s3-harness.ts';
import { startRecordingProxy } from '../sinks/recording-proxy.ts';
import type { RecordingProxy } from '../sinks/recording-proxy.ts';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { serve } from '../udm/support.ts';
import { clientOf } from '../udm/support.ts';

let server: S3Server;
let proxy: RecordingProxy;
beforeAll(async () => {
  server = await startS3Server();
  proxy = await startRecordingProxy(server.endpoint);
});
afterAll(async () => {
  await proxy.stop();
  await server.stop();
});

const evil = 'a.zip\r\nx-amz-acl: public-read\r\nx-amz-tagging: a=b\r\n\r\n\0\u0085\u2028';

test('a name in the metadata of an object sets no header of S3, in one part or several', async () => {
  const bucket = await server.createBucket();
  const sink = createS3Sink('lake', optionsFor(server, bucket, proxy.endpoint));
  try {
    for (const size of [10, 6 * 1024 * 1024]) {
      const key = `name/${size}`;
      await sink.put(key, Readable.from([Buffer.alloc(size)]), {
        metadata: { 'udm-file': evil, 'udm-run': '1' },
      });
      expect((await sink.stat(key))?.metadata).toEqual({ 'udm-file': evil, 'udm-run': '1' });
    }
  } finally {
    sink.close();
  }
  const written = proxy.requests.filter((request) => 'x-amz-meta-udm-file' in request.headers);
  expect(written.length).toBeGreaterThanOrEqual(2);
  for (const { headers } of proxy.requests) {
    expect(headers).not.toHaveProperty('x-amz-acl');
    expect(headers).not.toHaveProperty('x-amz-tagging');
  }
});

test('a key with everything that a URL knows is one key of the bucket', async () => {
  const bucket = await server.createBucket();
  const sink = createS3Sink('lake', { ...optionsFor(server, bucket, proxy.endpoint), prefix: 'ours' });
  try {
    for (const key of ['../../other-bucket/x', 'a/../../x', '/x', './x', 'a//x', 'a\nb', 'a\0b', '..'])
      await expect(sink.put(key, Readable.from([]), { length: 0 })).rejects.toMatchObject({
        code: 'ERR_KEY',
      });
    proxy.requests.length = 0;
    const key = '%2e%2e/?acl&versionId=1#x/..%2f..%2fy';
    await sink.put(key, Readable.from([Buffer.from('x')]), { length: 1 });
    expect((await sink.stat(key))?.size).toBe(1);
    for (const { path, query } of proxy.requests) {
      expect(path.startsWith(`/${bucket}/ours/`)).toBe(true);
      expect(query.has('acl') || query.has('versionId')).toBe(false);
    }
  } finally {
    sink.close();
  }
});

test('the name of a certificate is one field of the form and one segment of the path', async () => {
  const upstream = await serve((_request, response) => response.writeHead(200).end());
  const client = clientOf(upstream.url);
  const name = 'a".pem\r\nContent-Type: text/html\r\n\r\n--x';
  await client.uploadCipher(name, Buffer.from('certificate'));
  const [call] = upstream.calls;
  expect(call?.path).toBe(`/udm/v10/cipher/${encodeURIComponent(name)}`);
  const heads = (call?.body.match(/^Content-(Disposition|Type):.*$/gim) ?? []).map((line) => line.trim());
  expect(heads).toHaveLength(2);
  expect(heads.join('\n')).not.toContain('text/html\n');
  for (const path of ['..', '../x.pem', '.', ''])
    await expect(client.uploadCipher(path, Buffer.from('x'))).rejects.toMatchObject({ code: 'ERR_UDM_NAME' });
  expect(upstream.calls).toHaveLength(1);
});
