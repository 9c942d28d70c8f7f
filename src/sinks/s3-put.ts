import { randomUUID } from 'node:crypto';

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { CompletedPart, PutObjectCommandInput } from '@aws-sdk/client-s3';

import type { Logger } from '../log.ts';
import { guardBody } from './body.ts';
import { encodeCrc32 } from './checksum.ts';
import { SinkError } from './errors.ts';
import { encodeMetadata } from './metadata.ts';
import { partSize } from './part-size.ts';
import { BufferPool, cutIntoParts } from './parts.ts';
import type { Part } from './parts.ts';
import { bareEtag } from './s3-bucket.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { s3Cause } from './s3-errors.ts';
import type { PutOptions, PutResult } from './sink.ts';

/** User metadata that tells an upload of ours from any other, when the answer to its completion was lost. */
export const uploadMarker = 'udm-sync-upload';

/** How objects are written, besides where. */
export interface PutSettings {
  /** Bytes. */
  readonly partSize: number;
  readonly concurrency: number;
  /** Encryption and storage class. */
  readonly object: Pick<
    PutObjectCommandInput,
    'ServerSideEncryption' | 'SSEKMSKeyId' | 'BucketKeyEnabled' | 'StorageClass'
  >;
  readonly log?: Logger;
}

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

function describe(put: Put, marker?: string) {
  const { metadata = {}, contentType } = put.options;
  return {
    ...put.bucket.common,
    Key: put.key,
    ...put.settings.object,
    // The marker first: what does not fit is left out from the end.
    Metadata: encodeMetadata(marker === undefined ? metadata : { [uploadMarker]: marker, ...metadata }),
    ...(contentType === undefined ? {} : { ContentType: contentType }),
  };
}

async function putSingle(put: Put, part: Part): Promise<PutResult> {
  const { bucket, key, signal } = put;
  const command = new PutObjectCommand({
    ...describe(put),
    Body: part.bytes,
    ContentLength: part.bytes.length,
    ChecksumCRC32: encodeCrc32(part.crc32),
  });
  const answer = await bucket.call('PutObject', key, signal, () =>
    bucket.client.send(command, { abortSignal: signal }),
  );
  put.options.onProgress?.(part.bytes.length);
  return { ...part.upTo, parts: 1, ...bareEtag(answer.ETag) };
}

/** A multipart upload of ours that has begun. */
class MultipartUpload {
  readonly #put: Put;
  readonly #id: string;
  readonly #marker: string;
  /** Whether the server keeps part checksums, and one of the whole, as far as its first answer tells. */
  readonly #keeps: { readonly parts: boolean; readonly whole: boolean };
  readonly #sending: Promise<void>[] = [];
  /** The parts that are being sent now; these promises never reject. */
  readonly #inFlight = new Set<Promise<void>>();
  readonly #sent: CompletedPart[] = [];
  #acknowledged = 0;
  #finished = false;

  private constructor(put: Put, id: string, marker: string, keeps: { parts: boolean; whole: boolean }) {
    this.#put = put;
    this.#id = id;
    this.#marker = marker;
    this.#keeps = keeps;
  }

  static async begin(put: Put): Promise<MultipartUpload> {
    const { bucket, key, signal } = put;
    const marker = randomUUID();
    const command = new CreateMultipartUploadCommand({
      ...describe(put, marker),
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
    });
    const answer = await bucket.call('CreateMultipartUpload', key, signal, () =>
      bucket.client.send(command, { abortSignal: signal }),
    );
    if (answer.UploadId === undefined)
      throw new SinkError(
        'ERR_SINK_REFUSED',
        `CreateMultipartUpload on ${bucket.uri(key)} answered no upload id.`,
        {
          hint: "Whatever answers at the sink's endpoint does not speak S3: check the endpoint.",
        },
      );
    return new MultipartUpload(put, answer.UploadId, marker, {
      parts: answer.ChecksumAlgorithm === 'CRC32',
      whole: answer.ChecksumType === 'FULL_OBJECT',
    });
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
    const { bucket, key, signal, options } = this.#put;
    const checksum = encodeCrc32(part.crc32);
    const command = new UploadPartCommand({
      ...bucket.common,
      Key: key,
      UploadId: this.#id,
      PartNumber: part.number,
      Body: part.bytes,
      ContentLength: part.bytes.length,
      ChecksumCRC32: checksum,
    });
    const answer = await bucket.call('UploadPart', key, signal, () =>
      bucket.client.send(command, { abortSignal: signal }),
    );
    this.#sent[part.number - 1] = {
      PartNumber: part.number,
      ETag: answer.ETag,
      ...(this.#keeps.parts ? { ChecksumCRC32: checksum } : {}),
    };
    this.#acknowledged += part.bytes.length;
    options.onProgress?.(this.#acknowledged);
  }

  /** Waits for the parts and makes the object visible. The signal no longer matters once the last part is there. */
  async complete(whole: Part['upTo']): Promise<PutResult> {
    await Promise.all(this.#sending);
    this.#put.signal.throwIfAborted();
    const { bucket, key } = this.#put;
    const command = new CompleteMultipartUploadCommand({
      ...bucket.common,
      Key: key,
      UploadId: this.#id,
      MultipartUpload: { Parts: this.#sent },
      MpuObjectSize: whole.bytes,
      ...(this.#keeps.whole ? { ChecksumType: 'FULL_OBJECT', ChecksumCRC32: encodeCrc32(whole.crc32) } : {}),
    });
    try {
      const answer = await bucket.call('CompleteMultipartUpload', key, undefined, () =>
        bucket.client.send(command),
      );
      this.#finished = true;
      return this.#result(whole, answer.ETag);
    } catch (error) {
      // The answer may be lost and the object complete, so look; a completion still under way loses against the
      // abort, or makes the abort find nothing: then look again.
      const etag =
        (await this.#find(whole.bytes)) ?? ((await this.abort()) ? await this.#find(whole.bytes) : undefined);
      if (etag === undefined) throw error;
      this.#finished = true;
      return this.#result(whole, etag);
    }
  }

  #result(whole: Part['upTo'], etag: string | undefined): PutResult {
    return { ...whole, parts: this.#sent.length, ...bareEtag(etag) };
  }

  /** The ETag (or '') of the object under the key if it is this very upload. */
  async #find(bytes: number): Promise<string | undefined> {
    const { bucket, key } = this.#put;
    try {
      const head = await bucket.client.send(new HeadObjectCommand({ ...bucket.common, Key: key }));
      const ours = head.ContentLength === bytes && head.Metadata?.[uploadMarker] === this.#marker;
      return ours ? (head.ETag ?? '') : undefined;
    } catch {
      return undefined; // Then the failure of the completion itself is what is reported.
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
    const { bucket, key, settings } = this.#put;
    try {
      const upload = { ...bucket.common, Key: key, UploadId: this.#id };
      await bucket.client.send(new AbortMultipartUploadCommand(upload));
      return false;
    } catch (error) {
      const cause = s3Cause(error);
      if (cause.name === 'NoSuchUpload') return true;
      settings.log?.warn(
        { cause, uri: bucket.uri(key) },
        'an unfinished upload could not be aborted; sweep will',
      );
      return false;
    }
  }
}

/** Streams a body into the bucket: one PutObject if it fits into one part, else a multipart upload. */
export async function putObject(
  bucket: S3Bucket,
  settings: PutSettings,
  key: string,
  body: AsyncIterable<Uint8Array>,
  options: PutOptions,
): Promise<PutResult> {
  const stopping = new AbortController();
  const stop = (reason: unknown) => stopping.abort(reason);
  const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal;
  const put: Put = { bucket, settings, key, options, signal, stop };

  const { length } = options;
  const sizeOf = (number: number) => {
    const size = partSize(number, settings.partSize, length);
    return length === undefined ? size : Math.min(size, Math.max(length, 1));
  };

  let upload: MultipartUpload | undefined;
  let whole: Part['upTo'] = { bytes: 0, crc32: 0 };
  try {
    for await (const part of cutIntoParts(guardBody(body, length, signal), sizeOf, new BufferPool())) {
      if (part.last && part.number === 1) return await putSingle(put, part);
      upload ??= await MultipartUpload.begin(put);
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
