import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';

import { PutObjectCommand } from '@aws-sdk/client-s3';

import { reached } from '../crash-points.ts';
import { guardBody, lengthError } from './body.ts';
import { encodeCrc32 } from './checksum.ts';
import { partSize } from './part-size.ts';
import { BufferPool, cutIntoParts } from './parts.ts';
import type { Part } from './parts.ts';
import { bareEtag } from './s3-bucket.ts';
import type { S3Bucket } from './s3-bucket.ts';
import {
  abortUpload,
  beginUpload,
  completeUpload,
  describeObject,
  findCompleted,
  sendPart,
} from './s3-upload.ts';
import type { PutSettings } from './s3-upload.ts';
import type { PutOptions, PutResult, SentPart, Upload } from './sink.ts';

/** One put: everything that its calls share. */
interface Put {
  readonly bucket: S3Bucket;
  readonly settings: PutSettings;
  readonly key: string;
  readonly options: PutOptions;
  readonly signal: AbortSignal;
  /** Stops the whole put: the body and every call in flight. */
  readonly stop: (reason: unknown) => void;
}

async function putSingle(put: Put, bytes: Uint8Array, checksum: number): Promise<PutResult> {
  const { bucket, settings, key, options, signal } = put;
  const command = new PutObjectCommand({
    ...describeObject(bucket, settings, key, options),
    Body: bytes,
    ContentLength: bytes.byteLength,
    ChecksumCRC32: encodeCrc32(checksum),
  });
  reached('before:s3-put');
  const answer = await bucket.call('PutObject', key, signal, () =>
    bucket.client.send(command, { abortSignal: signal }),
  );
  reached('after:s3-put');
  options.onProgress?.(bytes.byteLength);
  return { bytes: bytes.byteLength, crc32: checksum, parts: 1, ...bareEtag(answer.ETag) };
}

/** A multipart upload that a single body is streamed into. */
class StreamedUpload {
  readonly #put: Put;
  readonly #upload: Upload;
  readonly #sending: Promise<void>[] = [];
  /** The parts that are being sent now; these promises never reject. */
  readonly #inFlight = new Set<Promise<void>>();
  readonly #sent: SentPart[] = [];
  #acknowledged = 0;
  #finished = false;

  private constructor(put: Put, upload: Upload) {
    this.#put = put;
    this.#upload = upload;
  }

  static async begin(put: Put): Promise<StreamedUpload> {
    const { bucket, settings, key, options, signal } = put;
    return new StreamedUpload(put, await beginUpload(bucket, settings, key, options, signal));
  }

  /**
   * Begins to send a part, as soon as fewer than `concurrency` are in flight. A failure stops the whole put and is
   * raised by `complete`.
   */
  async send(part: Part): Promise<void> {
    if (this.#inFlight.size >= this.#put.settings.concurrency) await Promise.race(this.#inFlight);
    const sending = this.#sendPart(part).finally(part.release);
    this.#sending.push(sending);
    const settled = sending.catch(this.#put.stop).finally(() => this.#inFlight.delete(settled));
    this.#inFlight.add(settled);
  }

  async #sendPart(part: Part): Promise<void> {
    const { bucket, signal, options } = this.#put;
    this.#sent[part.number - 1] = await sendPart(
      bucket,
      this.#upload,
      part.number,
      part.bytes,
      part.crc32,
      signal,
    );
    this.#acknowledged += part.bytes.length;
    options.onProgress?.(this.#acknowledged);
  }

  /** Waits for the parts and makes the object visible. The signal no longer matters once the last part is there. */
  async complete(whole: Part['upTo']): Promise<PutResult> {
    await Promise.all(this.#sending);
    this.#put.signal.throwIfAborted();
    const { bucket } = this.#put;
    try {
      const result = await completeUpload(bucket, this.#upload, this.#sent, whole);
      this.#finished = true;
      return result;
    } catch (error) {
      // A completion still under way loses against the abort, or makes the abort find nothing: then look again.
      const etag = (await this.abort()) ? await findCompleted(bucket, this.#upload, whole.bytes) : undefined;
      if (etag === undefined) throw error;
      return { ...whole, parts: this.#sent.length, ...bareEtag(etag) };
    }
  }

  /**
   * Removes the parts once no call is in flight any more. Never throws: what stays behind is for `sweep`.
   *
   * @returns whether the server no longer knew the upload
   */
  async abort(): Promise<boolean> {
    if (this.#finished) return false;
    this.#finished = true;
    await Promise.allSettled(this.#sending);
    return abortUpload(this.#put.bucket, this.#upload, this.#put.settings.log);
  }
}

/** Puts a body into the bucket: one PutObject if it fits into one part, else a multipart upload. */
export async function putObject(
  bucket: S3Bucket,
  settings: PutSettings,
  key: string,
  body: AsyncIterable<Uint8Array> | Uint8Array,
  options: PutOptions,
): Promise<PutResult> {
  const stopping = new AbortController();
  const stop = (reason: unknown) => stopping.abort(reason);
  const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal;
  const put: Put = { bucket, settings, key, options, signal, stop };

  const { length } = options;
  if (body instanceof Uint8Array) {
    if (length !== undefined && length !== body.byteLength)
      throw lengthError(length, `has ${body.byteLength}`);
    if (body.byteLength <= settings.partSize) return putSingle(put, body, crc32(body));
  }
  const sizeOf = (number: number) => {
    const size = partSize(number, settings.partSize, length);
    return length === undefined ? size : Math.min(size, Math.max(length, 1));
  };

  let upload: StreamedUpload | undefined;
  let whole: Part['upTo'] = { bytes: 0, crc32: 0 };
  try {
    const pieces = body instanceof Uint8Array ? Readable.from([body]) : body;
    for await (const part of cutIntoParts(guardBody(pieces, length, signal), sizeOf, new BufferPool())) {
      if (part.last && part.number === 1) return await putSingle(put, part.bytes, part.crc32);
      upload ??= await StreamedUpload.begin(put);
      await upload.send(part);
      whole = part.upTo;
    }
    if (upload === undefined) throw new Error('a body has at least one part');
    return await upload.complete(whole);
  } catch (error) {
    stop(error);
    await upload?.abort();
    throw error;
  }
}
