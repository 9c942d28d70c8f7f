import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { UdmSyncError } from '../errors.ts';
import type { PutResult, Sink } from '../sinks/sink.ts';
import type { Download } from '../udm/types.ts';
import { stretchBytes } from './bandwidth.ts';
import { fill, readRange } from './range.ts';
import type { TransferOptions, Transferred } from './transfer.ts';

/** What one stream into a sink without parts holds in memory, about. */
const plainStreamBytes = 1024 * 1024;

/** A file that fits into one part, and says so: read into one buffer, sent as one object. */
export async function oneObject(
  options: TransferOptions,
  download: Download & { readonly length: number },
): Promise<Transferred> {
  const { source, sink, key, put, signal, memory, bandwidth, onProgress } = options;
  const { length, etag, md5 } = download;
  const loan = await memory.lend(length, signal).catch((error: unknown) => {
    download.destroy();
    throw error;
  });
  try {
    const bytes = loan.buffer;
    if (etag === undefined) await fill(download, bytes, options);
    else await readRange({ source, etag, bandwidth, signal }, 0, bytes, download);
    if (md5 !== undefined && createHash('md5').update(bytes).digest('hex') !== md5)
      await confirm(options, { bytes: length, crc32: crc32(bytes) });
    const result = await sink.put(key, bytes, { ...put, length, signal });
    onProgress?.(length, length);
    return transferred(result, etag);
  } finally {
    download.destroy();
    loan.release();
  }
}

/** One stream into the sink, which cuts it itself where it must. */
export async function oneStream(options: TransferOptions, download: Download): Promise<Transferred> {
  const { sink, key, put, signal, memory, onProgress } = options;
  const total = download.length;
  const release = await memory.acquire(streamBytes(sink, total), signal).catch((error: unknown) => {
    download.destroy();
    throw error;
  });
  try {
    // A range is a part of what the MD5 is of.
    const md5 = download.status === 200 ? download.md5 : undefined;
    const hash = md5 === undefined ? undefined : createHash('md5');
    const result = await sink.put(key, watched(download, options, hash), {
      ...put,
      ...(total === undefined ? {} : { length: total }),
      signal,
      onProgress: (bytes) => onProgress?.(bytes, total),
    });
    if (hash && hash.digest('hex') !== md5) await confirm(options, result);
    return transferred(result, download.etag);
  } finally {
    download.destroy();
    release();
  }
}

function transferred({ bytes, crc32: sum, etag }: PutResult, sourceEtag: string | undefined): Transferred {
  return { bytes, crc32: sum, etag, sourceEtag, resumed: 0 };
}

async function* watched(
  download: Download,
  { bandwidth, signal }: TransferOptions,
  hash: { update(chunk: Uint8Array): unknown } | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let granted = 0;
  for await (const chunk of download.body) {
    if (bandwidth && (granted -= chunk.byteLength) < 0) {
      await bandwidth.wait(stretchBytes, signal);
      granted += stretchBytes;
    }
    hash?.update(chunk);
    yield chunk;
  }
}

function streamBytes(sink: Sink, length: number | undefined): number {
  if (!sink.uploads) return plainStreamBytes;
  const partSize = sink.uploads.partSize(length ?? 0);
  // A stream of several parts has the one that fills and those that are being sent.
  return length !== undefined && length <= partSize
    ? Math.max(length, 1)
    : partSize * (sink.uploads.parallel + 1);
}

/**
 * The bytes are not those of the MD5 that the source's ETag looks like. Either they were damaged on the way, or the
 * ETag is none: reading them again tells, since damage does not repeat itself bit by bit.
 *
 * @throws UdmSyncError ERR_SOURCE_MD5, retryable, when the second reading differs
 */
async function confirm(
  options: TransferOptions,
  first: { readonly bytes: number; readonly crc32: number },
): Promise<void> {
  const download = await options.source.open({ signal: options.signal });
  let bytes = 0;
  let sum = 0;
  for await (const chunk of watched(download, options, undefined)) {
    bytes += chunk.byteLength;
    sum = crc32(chunk, sum);
  }
  if (bytes === first.bytes && sum === first.crc32) return;
  throw new UdmSyncError('ERR_SOURCE_MD5', 'The bytes that arrived are not those that the source promised.', {
    hint: 'They were damaged on the way, and are read again.',
    retryable: true,
  });
}
