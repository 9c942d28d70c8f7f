import { UdmSyncError } from '../errors.ts';
import type { PutOptions, ResumableUploads, Sink } from '../sinks/sink.ts';
import type { Download } from '../udm/types.ts';
import type { Bandwidth } from './bandwidth.ts';
import { inParts } from './in-parts.ts';
import type { Journal, UploadRecord } from './journal.ts';
import type { Memory } from './memory.ts';
import { partSizeAtPace } from './pace.ts';
import type { Pace } from './pace.ts';
import type { Source } from './source.ts';
import { oneObject, oneStream } from './whole.ts';

export interface TransferOptions {
  readonly source: Source;
  readonly sink: Sink;
  readonly key: string;
  readonly journal: Journal;
  readonly memory: Memory;
  /** Of the transfers between the same two ends. */
  readonly pace: Pace;
  readonly bandwidth: Bandwidth | undefined;
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

/** Parts of one file that the memory should hold at least; it limits how large parts become. */
const partsInMemory = 6;

/**
 * Brings one file from the upstream into the sink.
 *
 * A large file from a source with ranges and a strong ETag goes in parts, several at a time, and each acknowledged
 * part is journalled: whoever comes after a crash reads only what is missing. Anything else is one stream.
 *
 * @throws UdmSyncError of the source (ERR_DOWNLOAD_*, ERR_PRESIGNED_*, ERR_SOURCE_MD5) or the sink
 */
export async function transfer(options: TransferOptions): Promise<Transferred> {
  const { sink, journal } = options;
  const { uploads } = sink;
  if (!uploads) return oneStream(options, await options.source.open({ signal: options.signal }));
  const known = await journal.load();
  if (known) {
    try {
      return await inParts(options, uploads, known, known.parts);
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
      return oneStream(options, await options.source.open({ signal: options.signal }));
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
  const { source, memory, pace, signal, announcedSize } = options;
  const most = Math.floor(memory.total / partsInMemory);
  const { worthwhile } = pace;
  const sizeOf = (length: number) =>
    partSizeAtPace(uploads.partSize(length, most), worthwhile, length, { parallel: uploads.parallel, most });
  const firstSize = sizeOf(announcedSize ?? 0);
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
  if (first.status === 206 && total !== undefined && total > firstSize && etag !== undefined) {
    const partSize = sizeOf(total);
    return begin(options, uploads, { partSize, length: total, sourceEtag: etag }, firstSize, first);
  }
  const isWhole = first.status === 200 || (total !== undefined && total <= firstSize);
  if (isWhole && hasLength(first) && first.length <= firstSize) return oneObject(options, first);
  if (isWhole) return oneStream(options, first);
  first.destroy();
  return oneStream(options, await source.open({ signal }));
}

function hasLength(download: Download): download is Download & { readonly length: number } {
  return download.length !== undefined;
}

/** Begins an upload in parts, and puts it on record before the first part is sent. */
async function begin(
  options: TransferOptions,
  uploads: ResumableUploads,
  plan: Omit<UploadRecord, 'upload'>,
  firstSize: number,
  first: Download,
): Promise<Transferred> {
  const { key, put, journal, signal } = options;
  let record: UploadRecord;
  try {
    const upload = await uploads.begin(key, { ...put, signal });
    record = { upload, ...plan };
    await journal.begun(record).catch(async (error: unknown) => {
      await uploads.abort(upload);
      throw error;
    });
  } catch (error) {
    first.destroy();
    throw error;
  }
  if (plan.partSize === firstSize) return inParts(options, uploads, record, [], first);
  first.destroy();
  return inParts(options, uploads, record, []);
}
