import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createS3Sink } from '../../src/sinks/s3.ts';
import { createSink, proveStored } from '../../src/sinks/index.ts';
import type { Sink } from '../../src/sinks/index.ts';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { crc32, stream } from './bodies.ts';
import { optionsFor } from './s3-harness.ts';

const bytes = Buffer.from('what was sent');
const expected = { bytes: bytes.length, crc32: crc32(bytes) };
const sameLength = Buffer.from('what was SENT');

/** The same checks on a store that keeps checksums and on one that does not. */
function describeProofs(title: string, head: 'size' | 'checksum', makeSink: () => Sink): void {
  describe(`proveStored on ${title}`, () => {
    let sink: Sink;
    beforeAll(async () => {
      sink = makeSink();
      await sink.put('right', stream(bytes));
      await sink.put('shorter', stream(bytes.subarray(1)));
      await sink.put('altered', stream(sameLength));
    });

    it(`proves by asking: ${head}`, async () => {
      const proof = await proveStored(sink, 'right', expected, 'head');
      expect(proof).toMatchObject({ level: head, size: bytes.length });
      expect(proof.crc32).toBe(head === 'checksum' ? expected.crc32 : undefined);
    });

    it('proves by reading', async () => {
      const proof = await proveStored(sink, 'right', expected, 'read');
      expect(proof).toMatchObject({ level: 'read', size: bytes.length, crc32: expected.crc32 });
    });

    it.each(['head', 'read'] as const)('notices by %s that the object is missing', async (level) => {
      const check = proveStored(sink, 'missing', expected, level);
      await expect(check).rejects.toMatchObject({ code: 'ERR_VERIFY_MISSING', retryable: true });
    });

    it.each(['head', 'read'] as const)('notices by %s another size', async (level) => {
      const check = proveStored(sink, 'shorter', expected, level);
      await expect(check).rejects.toMatchObject({ code: 'ERR_VERIFY_MISMATCH', retryable: true });
      await expect(check).rejects.toThrow('12 bytes instead of 13');
    });

    it.each(head === 'checksum' ? (['head', 'read'] as const) : (['read'] as const))(
      'notices by %s other bytes of the same size',
      async (level) => {
        const check = proveStored(sink, 'altered', expected, level);
        await expect(check).rejects.toMatchObject({ code: 'ERR_VERIFY_MISMATCH' });
        await expect(check).rejects.toThrow(/CRC-32 [0-9a-f]{8} instead of [0-9a-f]{8}/);
      },
    );
  });
}

let directory: string;
let server: S3Server;
let bucket: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'udm-sync-files-'));
  server = await startS3Server('fauxqs');
  bucket = await server.createBucket();
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await server.stop();
});

describeProofs('a file system, which keeps no checksum', 'size', () =>
  createSink('files', { type: 'filesystem', directory }),
);
describeProofs('S3 that keeps checksums', 'checksum', () =>
  createS3Sink('bucket', optionsFor(server, bucket)),
);
