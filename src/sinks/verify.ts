import { crc32 } from 'node:zlib';

import { crc32Text } from './checksum.ts';
import { SinkError } from './errors.ts';
import type { Sink } from './sink.ts';

/** What was sent, as counted on the way into the sink. */
export interface Expected {
  readonly bytes: number;
  /** CRC-32, unsigned. */
  readonly crc32: number;
}

/**
 * How far it is proven that the sink holds the bytes: `size` (the store says so), `checksum` (the store also keeps
 * a CRC-32 of the whole object, and it is ours), `read` (we read the bytes again).
 */
export interface Proof {
  readonly level: 'size' | 'checksum' | 'read';
  /** Bytes. */
  readonly size: number;
  /** Known to be the stored object's; absent at level `size`. */
  readonly crc32?: number;
  readonly etag?: string;
}

function assertSame(where: string, expected: Expected, found: { bytes: number; crc32?: number }): void {
  const differences: string[] = [];
  if (found.bytes !== expected.bytes) differences.push(`${found.bytes} bytes instead of ${expected.bytes}`);
  if (found.crc32 !== undefined && found.crc32 !== expected.crc32)
    differences.push(`CRC-32 ${crc32Text(found.crc32)} instead of ${crc32Text(expected.crc32)}`);
  if (differences.length === 0) return;
  throw new SinkError('ERR_VERIFY_MISMATCH', `${where} is not what was sent: ${differences.join(', ')}.`, {
    retryable: true,
    hint: 'It is copied again and stays upstream until it is verified; check what else writes to that key.',
  });
}

async function readAgain(sink: Sink, key: string, signal: AbortSignal | undefined): Promise<Expected> {
  let bytes = 0;
  let checksum = 0;
  for await (const chunk of await sink.read(key, signal)) {
    bytes += chunk.byteLength;
    checksum = crc32(chunk, checksum);
  }
  return { bytes, crc32: checksum };
}

/**
 * Asks the sink for the object under `key` and compares it with what was sent.
 *
 * @param level `head` asks the store what it has; `read` also reads all of it again
 * @throws {SinkError} `ERR_VERIFY_MISSING` if nothing is there, `ERR_VERIFY_MISMATCH` if it is something else;
 *   both are retryable, by sending the file again
 */
export async function proveStored(
  sink: Sink,
  key: string,
  expected: Expected,
  level: 'head' | 'read',
  signal?: AbortSignal,
): Promise<Proof> {
  const where = `${sink.uri}/${key}`;
  const info = await sink.stat(key, signal);
  if (info === undefined)
    throw new SinkError('ERR_VERIFY_MISSING', `${where} is not there, though it was sent.`, {
      retryable: true,
      hint: 'It is copied again and stays upstream until it is verified; check what removes objects from the sink.',
    });
  const { size, etag } = info;
  const kept = info.crc32;
  assertSame(where, expected, { bytes: size, ...(kept === undefined ? {} : { crc32: kept }) });
  const tag = etag === undefined ? {} : { etag };
  if (level === 'head')
    return kept === undefined
      ? { level: 'size', size, ...tag }
      : { level: 'checksum', size, crc32: kept, ...tag };
  const read = await readAgain(sink, key, signal);
  assertSame(where, expected, read);
  return { level: 'read', size: read.bytes, crc32: read.crc32, ...tag };
}
