import { randomUUID } from 'node:crypto';

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { PutObjectCommandInput } from '@aws-sdk/client-s3';

import { reached } from '../crash-points.ts';
import type { Logger } from '../log.ts';
import { encodeCrc32 } from './checksum.ts';
import { SinkError } from './errors.ts';
import { encodeMetadata } from './metadata.ts';
import { bareEtag } from './s3-bucket.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { s3Cause } from './s3-errors.ts';
import type { PutOptions, PutResult, SentPart, Upload } from './sink.ts';

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

/** What PutObject and CreateMultipartUpload have in common. `key` is the whole key, with the prefix. */
export function describeObject(
  bucket: S3Bucket,
  settings: PutSettings,
  key: string,
  options: PutOptions,
  marker?: string,
) {
  const { metadata = {}, contentType } = options;
  return {
    ...bucket.common,
    Key: key,
    ...settings.object,
    // The marker first: what does not fit is left out from the end.
    Metadata: encodeMetadata(marker === undefined ? metadata : { [uploadMarker]: marker, ...metadata }),
    ...(contentType === undefined ? {} : { ContentType: contentType }),
  };
}

/** S3: CreateMultipartUpload. */
export async function beginUpload(
  bucket: S3Bucket,
  settings: PutSettings,
  key: string,
  options: PutOptions,
  signal: AbortSignal | undefined,
): Promise<Upload> {
  const marker = randomUUID();
  const command = new CreateMultipartUploadCommand({
    ...describeObject(bucket, settings, key, options, marker),
    ChecksumAlgorithm: 'CRC32',
    ChecksumType: 'FULL_OBJECT',
  });
  reached('before:s3-begin');
  const answer = await bucket.call('CreateMultipartUpload', key, signal, () =>
    bucket.client.send(command, signal ? { abortSignal: signal } : {}),
  );
  reached('after:s3-begin');
  if (answer.UploadId === undefined)
    throw new SinkError(
      'ERR_SINK_REFUSED',
      `CreateMultipartUpload on ${bucket.uri(key)} answered no upload id.`,
      {
        hint: "Whatever answers at the sink's endpoint does not speak S3: check the endpoint.",
      },
    );
  // Whether the server keeps part checksums, and one of the whole, as far as its first answer tells.
  const keeps = { parts: answer.ChecksumAlgorithm === 'CRC32', whole: answer.ChecksumType === 'FULL_OBJECT' };
  return { key, id: answer.UploadId, marker, keeps };
}

/** S3: UploadPart, with the part's CRC-32. */
export async function sendPart(
  bucket: S3Bucket,
  upload: Upload,
  number: number,
  bytes: Uint8Array,
  crc32: number,
  signal: AbortSignal | undefined,
): Promise<SentPart> {
  const command = new UploadPartCommand({
    ...bucket.common,
    Key: upload.key,
    UploadId: upload.id,
    PartNumber: number,
    Body: bytes,
    ContentLength: bytes.byteLength,
    ChecksumCRC32: encodeCrc32(crc32),
  });
  reached('before:s3-part');
  const answer = await bucket.call('UploadPart', upload.key, signal, () =>
    bucket.client.send(command, signal ? { abortSignal: signal } : {}),
  );
  reached('after:s3-part');
  return { number, size: bytes.byteLength, etag: answer.ETag ?? '', crc32 };
}

/** S3: ListParts, all pages. */
export async function listParts(
  bucket: S3Bucket,
  upload: Upload,
  signal: AbortSignal | undefined,
): Promise<Map<number, number> | 'unknown' | 'unlisted'> {
  const parts = new Map<number, number>();
  let marker: string | undefined;
  try {
    do {
      const command = new ListPartsCommand({
        ...bucket.common,
        Key: upload.key,
        UploadId: upload.id,
        ...(marker === undefined ? {} : { PartNumberMarker: marker }),
      });
      const answer = await bucket.client.send(command, signal ? { abortSignal: signal } : {});
      for (const { PartNumber, Size } of answer.Parts ?? [])
        if (PartNumber !== undefined) parts.set(PartNumber, Size ?? -1);
      marker = answer.IsTruncated === true ? answer.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
    return parts;
  } catch (error) {
    signal?.throwIfAborted();
    const { name, status } = s3Cause(error);
    if (name === 'NoSuchUpload') return 'unknown';
    if (status === 501 || status === 405 || status === 400 || name === 'AccessDenied') return 'unlisted';
    // fauxqs has no ListParts and answers as if an object had been asked for.
    if (status === 404) return 'unlisted';
    return await bucket.call('ListParts', upload.key, signal, () => Promise.reject(asError(error)));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * S3: CompleteMultipartUpload. When it fails, the object is looked at: the answer may be lost and the object
 * complete. Nothing is aborted here.
 */
export async function completeUpload(
  bucket: S3Bucket,
  upload: Upload,
  parts: readonly SentPart[],
  whole: { readonly bytes: number; readonly crc32: number },
): Promise<PutResult> {
  const command = new CompleteMultipartUploadCommand({
    ...bucket.common,
    Key: upload.key,
    UploadId: upload.id,
    MultipartUpload: {
      Parts: parts.map(({ number, etag, crc32 }) => ({
        PartNumber: number,
        ETag: etag,
        ...(upload.keeps.parts ? { ChecksumCRC32: encodeCrc32(crc32) } : {}),
      })),
    },
    MpuObjectSize: whole.bytes,
    ...(upload.keeps.whole ? { ChecksumType: 'FULL_OBJECT', ChecksumCRC32: encodeCrc32(whole.crc32) } : {}),
  });
  let etag: string | undefined;
  reached('before:s3-complete');
  try {
    const answer = await bucket.call('CompleteMultipartUpload', upload.key, undefined, () =>
      bucket.client.send(command),
    );
    reached('after:s3-complete');
    etag = answer.ETag;
  } catch (error) {
    etag = await findCompleted(bucket, upload, whole.bytes);
    if (etag === undefined) throw error;
  }
  return { ...whole, parts: parts.length, ...bareEtag(etag) };
}

/** The ETag (or '') of the object under the key if it is this very upload. S3: HeadObject. */
export async function findCompleted(
  bucket: S3Bucket,
  upload: Upload,
  bytes: number,
): Promise<string | undefined> {
  try {
    const head = await bucket.client.send(new HeadObjectCommand({ ...bucket.common, Key: upload.key }));
    const ours = head.ContentLength === bytes && head.Metadata?.[uploadMarker] === upload.marker;
    return ours ? (head.ETag ?? '') : undefined;
  } catch {
    return undefined; // Then the failure of the completion itself is what is reported.
  }
}

/**
 * S3: AbortMultipartUpload. Never throws: what stays behind is for `sweep`.
 *
 * @returns whether the server no longer knew the upload
 */
export async function abortUpload(
  bucket: S3Bucket,
  upload: Upload,
  log: Logger | undefined,
): Promise<boolean> {
  reached('before:s3-abort');
  try {
    const command = { ...bucket.common, Key: upload.key, UploadId: upload.id };
    await bucket.client.send(new AbortMultipartUploadCommand(command));
    reached('after:s3-abort');
    return false;
  } catch (error) {
    const cause = s3Cause(error);
    if (cause.name === 'NoSuchUpload') return true;
    log?.warn(
      { cause, uri: bucket.uri(upload.key) },
      'an unfinished upload could not be aborted; sweep will',
    );
    return false;
  }
}
