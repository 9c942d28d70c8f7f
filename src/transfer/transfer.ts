import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { UdmSyncError } from '../errors.ts';
import { combineCrc32 } from '../sinks/crc32-combine.ts';
import { BufferPool } from '../sinks/parts.ts';
import type { PutOptions, ResumableUploads, SentPart, Sink } from '../sinks/sink.ts';
import type { Download } from '../udm/types.ts';
import type { ByteBudget } from './budget.ts';
import type { Journal, UploadRecord } from './journal.ts';
import type { Source } from './source.ts';

export interface TransferOptions {
  readonly source: Source;
  readonly sink: Sink;
  readonly key: string;
  readonly journal: Journal;
  readonly budget: ByteBudget;
  readonly signal: AbortSignal;
  /** Metadata and content type of the object. */
  readonly put: Pick<PutOptions, 'metadata' | 'contentType'>;
  /** Bytes, as the upstream listed it; only a hint at how to begin. */
  readonly announcedSize?: number | undefined;
  /** Bytes acknowledged by the sink so far, and of the whole if known. */
  readonly onProgress?: (bytes: number, total: number | undefined) => void;
}

export interface Transferred {
  readonly bytes: number;
  /** CRC-32 of the bytes received, unsigned. */
  readonly crc32: number;
  readonly etag?: string | undefined;
  readonly sourceEtag?: string | undefined;
  /** Bytes that an earlier attempt had brought over, and that were not read again. */
  readonly resumed: number;
}

const buffers = new BufferPool();

/** Reads of one range that fail without a byte of progress, before the transfer fails. */
const barrenReads = 4;
const firstPauseMs = 200;
/** What one stream into a sink without parts holds in memory, about. */
const plainStreamBytes = 1024 * 1024;

/**
 * Brings one file from the upstream into the sink.
 *
 * A large file from a source with ranges and a strong ETag goes in parts, several at a time, and each acknowledged
 * part is journalled: whoever comes after a crash reads only what is missing. Anything else is one stream.
 *
 * @throws UdmSyncError of the source (ERR_DOWNLOAD_*, ERR_PRESIGNED_*) or the sink
 */
export async function transfer(options: TransferOptions): Promise<Transferred> {
  const { sink, journal } = options;
  const { uploads } = sink;
  if (!uploads) return wholeStream(options, await options.source.open({ signal: options.signal }));
  const known = await journal.load();
  if (known) {
    try {
      return await inParts(options, uploads, known, known.parts, undefined);
    } catch (error) {
      const reason = startsOver(error);
      if (reason === undefined) throw error;
      await uploads.abort(known.upload);
      await journal.forget(reason);
    }
  }
  try {
    return await fresh(options, uploads);
  } catch (error) {
    const reason = startsOver(error);
    const begun = reason === undefined ? undefined : await journal.load();
    if (!begun || reason === undefined) throw error;
    await uploads.abort(begun.upload);
    await journal.forget(reason);
    // A source that turned out not to serve ranges still gives a stream.
    if (hasCode(error, 'ERR_RANGE_IGNORED'))
      return wholeStream(options, await options.source.open({ signal: options.signal }));
    throw error;
  }
}

/** Why an unfinished upload is worth nothing any more; undefined if it can be continued. */
function startsOver(error: unknown): string | undefined {
  if (hasCode(error, 'ERR_PRESIGNED_CHANGED')) return 'the file changed upstream; its upload begins anew';
  if (hasCode(error, 'ERR_UPLOAD_GONE')) return 'the store no longer had the upload; it begins anew';
  if (hasCode(error, 'ERR_RANGE_IGNORED'))
    return 'the upstream serves no ranges of the file; it is read as one stream';
  return undefined;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof UdmSyncError && error.code === code;
}

async function fresh(options: TransferOptions, uploads: ResumableUploads): Promise<Transferred> {
  const { source, journal, signal, announcedSize } = options;
  const expected = announcedSize ?? 0;
  const firstSize = uploads.partSize(expected);
  // A file that fits into one part is asked for as a whole: that works for every source.
  const small = announcedSize !== undefined && announcedSize <= firstSize;
  const first = await (small
    ? source.open({ signal })
    : source.open({ start: 0, end: firstSize - 1, signal }).catch((error: unknown) => {
        // No first byte: an empty file, or a source that cannot do ranges.
        if (hasCode(error, 'ERR_DOWNLOAD_RANGE')) return source.open({ signal });
        throw error;
      }));
  const { total, etag } = first;
  const partable = first.status === 206 && total !== undefined && total > firstSize && etag !== undefined;
  if (!partable) {
    const whole = first.status === 200 || (total !== undefined && total <= firstSize);
    if (whole) return wholeStream(options, first);
    first.destroy();
    return wholeStream(options, await source.open({ signal }));
  }
  const partSize = uploads.partSize(total);
  const upload = await uploads.begin(options.key, { ...options.put, signal }).catch((error: unknown) => {
    first.destroy();
    throw error;
  });
  const record: UploadRecord = { upload, partSize, length: total, sourceEtag: etag };
  await journal.begun(record).catch(async (error: unknown) => {
    first.destroy();
    await uploads.abort(upload);
    throw error;
  });
  if (partSize !== firstSize) first.destroy();
  return inParts(options, uploads, record, [], partSize === firstSize ? first : undefined);
}

/** One stream into the sink, which cuts it itself where it must. */
async function wholeStream(options: TransferOptions, download: Download): Promise<Transferred> {
  const { sink, key, put, signal, budget, onProgress } = options;
  const total = download.length;
  const release = await budget.acquire(streamBytes(sink, total), signal).catch((error: unknown) => {
    download.destroy();
    throw error;
  });
  try {
    const result = await sink.put(key, download.body, {
      ...put,
      ...(total === undefined ? {} : { length: total }),
      signal,
      onProgress: (bytes) => onProgress?.(bytes, total),
    });
    return {
      bytes: result.bytes,
      crc32: result.crc32,
      etag: result.etag,
      sourceEtag: download.etag,
      resumed: 0,
    };
  } finally {
    download.destroy();
    release();
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

async function inParts(
  options: TransferOptions,
  uploads: ResumableUploads,
  record: UploadRecord,
  journalled: readonly SentPart[],
  first: Download | undefined,
): Promise<Transferred> {
  const { journal, signal, onProgress } = options;
  const { upload, partSize, length, sourceEtag } = record;
  const count = Math.ceil(length / partSize);
  const sent = new Map(journalled.map((part) => [part.number, part]));
  // What Postgres knows and the store does not is sent again. A complete set is settled by completing it.
  if (sent.size > 0 && sent.size < count) {
    const stored = await uploads.list(upload, signal);
    if (stored === 'unknown') throw gone(upload.key);
    if (stored !== 'unlisted')
      for (const part of [...sent.values()])
        if (stored.get(part.number) !== part.size) sent.delete(part.number);
  }
  const resumed = sumOf(sent.values());
  let acknowledged = resumed;
  onProgress?.(acknowledged, length);

  const missing = Array.from({ length: count }, (_, index) => index + 1).filter(
    (number) => !sent.has(number),
  );
  const stop = new AbortController();
  const within = AbortSignal.any([signal, stop.signal]);
  const worker = async () => {
    for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
      const part = await onePart(options, uploads, record, number, number === 1 ? first : undefined, within);
      await journal.sent(part);
      sent.set(number, part);
      acknowledged += part.size;
      onProgress?.(acknowledged, length);
    }
  };
  const workers = Array.from({ length: Math.min(uploads.parallel, missing.length) }, async () => {
    try {
      await worker();
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(workers);
  first?.destroy();
  signal.throwIfAborted();
  // The first failure stopped the others; theirs is only that they were stopped.
  stop.signal.throwIfAborted();

  const parts = [...sent.values()].sort((a, b) => a.number - b.number);
  const whole = {
    bytes: length,
    crc32: parts.reduce((sum, part) => combineCrc32(sum, part.crc32, part.size), 0),
  };
  const { etag } = await uploads.complete(upload, parts, whole);
  await journal.forget('complete');
  return { ...whole, etag, sourceEtag, resumed };
}

function sumOf(parts: Iterable<SentPart>): number {
  let sum = 0;
  for (const part of parts) sum += part.size;
  return sum;
}

function gone(key: string): UdmSyncError {
  return new UdmSyncError('ERR_UPLOAD_GONE', `The store no longer knows the unfinished upload of ${key}.`, {
    retryable: true,
  });
}

/** Reads one range into memory, and sends it as one part. */
async function onePart(
  options: TransferOptions,
  uploads: ResumableUploads,
  record: UploadRecord,
  number: number,
  first: Download | undefined,
  signal: AbortSignal,
): Promise<SentPart> {
  const { partSize, length, upload } = record;
  const start = (number - 1) * partSize;
  const size = Math.min(partSize, length - start);
  // Whole parts, also for the shorter last one: buffers of one size are used again and again.
  const release = await options.budget.acquire(partSize, signal);
  const lent = buffers.acquire(partSize);
  const buffer = lent.subarray(0, size);
  try {
    await readRange(options.source, record.sourceEtag, start, buffer, first, signal);
    return await uploads.send(upload, number, buffer, crc32(buffer), signal);
  } finally {
    buffers.release(lent);
    release();
  }
}

/** Fills the buffer from byte `start` of the file, going on at the byte after every break that made progress. */
async function readRange(
  source: Source,
  etag: string,
  start: number,
  buffer: Buffer,
  first: Download | undefined,
  signal: AbortSignal,
): Promise<void> {
  let got = 0;
  let barren = 0;
  let open = first;
  for (;;) {
    const before = got;
    try {
      const download =
        open ??
        (await source.open({ start: start + got, end: start + buffer.length - 1, ifMatch: etag, signal }));
      open = undefined;
      try {
        checkRange(download, etag);
        for await (const chunk of download.body) {
          signal.throwIfAborted();
          if (got + chunk.byteLength > buffer.length) throw rangeIgnored();
          buffer.set(chunk, got);
          got += chunk.byteLength;
        }
      } finally {
        download.destroy();
      }
      if (got === buffer.length) return;
      throw new UdmSyncError('ERR_DOWNLOAD_TRUNCATED', `A range ended ${buffer.length - got} bytes early.`, {
        retryable: true,
      });
    } catch (error) {
      signal.throwIfAborted();
      if (got === buffer.length) return;
      if (!(error instanceof UdmSyncError) || !error.retryable || startsOver(error) !== undefined)
        throw error;
      barren = got > before ? 0 : barren + 1;
      if (barren >= barrenReads) throw error;
      await delay(firstPauseMs * 2 ** barren * (0.5 + Math.random()), undefined, { signal });
    }
  }
}

function checkRange(download: Download, etag: string): void {
  if (download.status !== 206) throw rangeIgnored();
  // A source that ignores If-Match still says what it serves.
  if (download.etag !== undefined && download.etag !== etag)
    throw new UdmSyncError('ERR_PRESIGNED_CHANGED', 'The file has changed upstream while it was read.', {
      retryable: true,
    });
}

function rangeIgnored(): UdmSyncError {
  return new UdmSyncError('ERR_RANGE_IGNORED', 'The upstream answered a range with something else.', {
    retryable: true,
  });
}
