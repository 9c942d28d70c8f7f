import { crc32 } from 'node:zlib';
import { UdmSyncError } from '../errors.ts';
import { combineCrc32 } from '../sinks/crc32-combine.ts';
import type { ResumableUploads, SentPart } from '../sinks/sink.ts';
import type { Download } from '../udm/types.ts';
import type { UploadRecord } from './journal.ts';
import { firstParallelism, nextParallelism } from './parallelism.ts';
import { readRange } from './range.ts';
import type { TransferOptions, Transferred } from './transfer.ts';

/**
 * Brings a file over in parts, several at a time, and notes each in the journal once the store has acknowledged it.
 *
 * @param known parts that an earlier attempt has brought over
 * @param first an answer that is open already and carries the first part
 */
export async function inParts(
  options: TransferOptions,
  uploads: ResumableUploads,
  record: UploadRecord,
  known: readonly SentPart[],
  first?: Download,
): Promise<Transferred> {
  const { journal, signal, onProgress } = options;
  const { upload, length, sourceEtag } = record;
  const sent = await stillThere(uploads, record, known, signal);
  const resumed = sumOf(sent.values());
  let acknowledged = resumed;
  onProgress?.(acknowledged, length);

  const missing = Array.from({ length: countOf(record) }, (_, index) => index + 1).filter(
    (number) => !sent.has(number),
  );
  await eachInParallel(missing, uploads.parallel, signal, async (number, within) => {
    const part = await onePart(options, uploads, record, number, within, number === 1 ? first : undefined);
    await journal.sent(part);
    sent.set(number, part);
    acknowledged += part.size;
    onProgress?.(acknowledged, length);
    return part.size;
  }).finally(() => first?.destroy());

  const parts = [...sent.values()].sort((a, b) => a.number - b.number);
  const whole = {
    bytes: length,
    crc32: parts.reduce((sum, part) => combineCrc32(sum, part.crc32, part.size), 0),
  };
  const { etag } = await uploads.complete(upload, parts, whole);
  await journal.forget('complete');
  return { ...whole, etag, sourceEtag, resumed };
}

function countOf({ length, partSize }: UploadRecord): number {
  return Math.ceil(length / partSize);
}

/** The known parts that the store has too: what Postgres knows and the store does not is sent again. */
async function stillThere(
  uploads: ResumableUploads,
  record: UploadRecord,
  known: readonly SentPart[],
  signal: AbortSignal,
): Promise<Map<number, SentPart>> {
  const sent = new Map(known.map((part) => [part.number, part]));
  // A complete set is settled by completing it: the upload may be gone because that has happened already.
  if (sent.size === 0 || sent.size === countOf(record)) return sent;
  const stored = await uploads.list(record.upload, signal);
  if (stored === 'unknown') throw gone(record.upload.key);
  if (stored !== 'unlisted')
    for (const part of known) if (stored.get(part.number) !== part.size) sent.delete(part.number);
  return sent;
}

function gone(key: string): UdmSyncError {
  return new UdmSyncError('ERR_UPLOAD_GONE', `The store no longer knows the unfinished upload of ${key}.`, {
    retryable: true,
  });
}

function sumOf(parts: Iterable<SentPart>): number {
  let sum = 0;
  for (const part of parts) sum += part.size;
  return sum;
}

/**
 * Does `work` for each number, as many at a time as is worth it. The first failure stops the others and is thrown once
 * they have stopped.
 *
 * @param work returns the bytes that were moved
 */
async function eachInParallel(
  numbers: readonly number[],
  most: number,
  signal: AbortSignal,
  work: (number: number, signal: AbortSignal) => Promise<number>,
): Promise<void> {
  const waiting = [...numbers];
  const stop = new AbortController();
  const within = AbortSignal.any([signal, stop.signal]);
  const running = new Set<Promise<void>>();
  let parallelism = firstParallelism(most);
  let round = { bytes: 0, parts: 0, since: performance.now() };

  const one = async (number: number) => {
    try {
      round.bytes += await work(number, within);
      round.parts += 1;
    } catch (error) {
      stop.abort(error);
    }
  };
  while (waiting.length > 0 && !within.aborted) {
    while (running.size < parallelism.limit) {
      const number = waiting.shift();
      if (number === undefined) break;
      const task = one(number).finally(() => running.delete(task));
      running.add(task);
    }
    await Promise.race(running);
    if (round.parts >= parallelism.limit) {
      const now = performance.now();
      const rate = (round.bytes / Math.max(now - round.since, 0.001)) * 1000;
      parallelism = nextParallelism(parallelism, rate, most);
      round = { bytes: 0, parts: 0, since: now };
    }
  }
  await Promise.all(running);
  signal.throwIfAborted();
  // The first failure stopped the others; theirs is only that they were stopped.
  stop.signal.throwIfAborted();
}

/** Reads one range into memory, and sends it as one part. */
async function onePart(
  options: TransferOptions,
  uploads: ResumableUploads,
  record: UploadRecord,
  number: number,
  signal: AbortSignal,
  first: Download | undefined,
): Promise<SentPart> {
  const { source, bandwidth, memory, pace } = options;
  const { partSize, length, upload, sourceEtag } = record;
  const start = (number - 1) * partSize;
  // Whole parts, also for the shorter last one: buffers of one size are used again and again.
  const loan = await memory.lend(partSize, signal);
  try {
    const buffer = loan.buffer.subarray(0, Math.min(partSize, length - start));
    const begun = performance.now();
    await readRange({ source, etag: sourceEtag, bandwidth, signal }, start, buffer, first);
    const part = await uploads.send(upload, number, buffer, crc32(buffer), signal);
    pace.note(buffer.length, performance.now() - begun);
    return part;
  } finally {
    loan.release();
  }
}
