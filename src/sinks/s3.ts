import { Readable } from 'node:stream';

import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import type { StorageClass } from '@aws-sdk/client-s3';

import { UsageError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { fullObjectCrc32 } from './checksum.ts';
import { SinkError } from './errors.ts';
import { checkKey, keyError } from './key.ts';
import { decodeMetadata } from './metadata.ts';
import { maxPartSize, minPartSize, MiB, partSize } from './part-size.ts';
import { bareEtag, S3Bucket } from './s3-bucket.ts';
import type { S3SinkOptions } from './s3-bucket.ts';
import { reportCalls } from './s3-calls.ts';
import type { S3Call } from './s3-calls.ts';
import { s3Error } from './s3-errors.ts';
import { putObject } from './s3-put.ts';
import { sweepUploads } from './s3-sweep.ts';
import { abortUpload, beginUpload, completeUpload, listParts, sendPart, uploadMarker } from './s3-upload.ts';
import type { PutSettings } from './s3-upload.ts';
import type { ObjectInfo, Sink } from './sink.ts';

export type { S3SinkOptions } from './s3-bucket.ts';

const longestKey = 1024;

export interface S3SinkDeps {
  /** Told when an unfinished upload could not be removed. */
  readonly log?: Logger;
  /** Told about every attempt of every call. */
  readonly onCall?: (call: S3Call) => void;
}

function settingsOf(options: S3SinkOptions, log: Logger | undefined): PutSettings {
  const { partSize = 8 * MiB, concurrency = 8, sse, storageClass } = options;
  if (!Number.isInteger(partSize) || partSize < minPartSize || partSize > maxPartSize)
    throw new UsageError(`partSize must be from ${minPartSize} to ${maxPartSize} bytes, not ${partSize}.`);
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw new UsageError(`concurrency must be at least 1, not ${concurrency}.`);
  return {
    partSize,
    concurrency,
    object: {
      ...(sse === undefined ? {} : { ServerSideEncryption: sse.type }),
      ...(sse?.kmsKeyId === undefined ? {} : { SSEKMSKeyId: sse.kmsKeyId }),
      ...(sse?.bucketKey === undefined ? {} : { BucketKeyEnabled: sse.bucketKey }),
      // S3-compatible stores have classes of their own, which the SDK's type does not list.
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
    },
    ...(log === undefined ? {} : { log }),
  };
}

/** The bytes of a GetObject answer; a connection that breaks is an error of ours. */
async function* readBody(
  bucket: S3Bucket,
  key: string,
  body: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
) {
  try {
    yield* body;
  } catch (error) {
    signal?.throwIfAborted();
    throw s3Error(error, 'GetObject', bucket.uri(key));
  }
}

/**
 * A sink in an S3 bucket, of AWS or of anything that speaks its protocol, whether or not it keeps checksums.
 *
 * @throws {UsageError} when `partSize` or `concurrency` is out of range
 */
export function createS3Sink(name: string, options: S3SinkOptions, deps: S3SinkDeps = {}): Sink {
  const settings = settingsOf(options, deps.log);
  const bucket = new S3Bucket(options);
  if (deps.onCall) reportCalls(bucket.client, deps.onCall);
  const prefix = (options.prefix ?? '').replace(/^\/+|\/+$/g, '');
  const withPrefix = (key: string) => (prefix === '' ? key : `${prefix}/${key}`);

  const objectKey = (key: string): string => {
    checkKey(key);
    const full = withPrefix(key);
    const bytes = Buffer.byteLength(full);
    if (bytes > longestKey)
      throw keyError(key, `is ${bytes} bytes long with the prefix; S3 takes ${longestKey}`);
    return full;
  };

  return {
    name,
    uri: bucket.uri(prefix).replace(/\/$/, ''),

    async put(key, body, putOptions = {}) {
      return putObject(bucket, settings, objectKey(key), body, putOptions);
    },

    async stat(key, signal): Promise<ObjectInfo | undefined> {
      const Key = objectKey(key);
      const command = new HeadObjectCommand({ ...bucket.common, Key, ChecksumMode: 'ENABLED' });
      try {
        const head = await bucket.call('HeadObject', Key, signal, () =>
          bucket.client.send(command, signal ? { abortSignal: signal } : {}),
        );
        const crc32 = fullObjectCrc32(head.ChecksumCRC32, head.ChecksumType);
        const { [uploadMarker]: _, ...metadata } = head.Metadata ?? {};
        return {
          key,
          size: head.ContentLength ?? 0,
          ...(crc32 === undefined ? {} : { crc32 }),
          ...bareEtag(head.ETag),
          ...(head.LastModified === undefined ? {} : { lastModified: head.LastModified }),
          metadata: decodeMetadata(metadata),
        };
      } catch (error) {
        if (error instanceof SinkError && error.code === 'ERR_NOT_FOUND') return undefined;
        throw error;
      }
    },

    async read(key, signal) {
      const Key = objectKey(key);
      const command = new GetObjectCommand({ ...bucket.common, Key });
      const { Body } = await bucket.call('GetObject', Key, signal, () =>
        bucket.client.send(command, signal ? { abortSignal: signal } : {}),
      );
      return readBody(bucket, Key, Body instanceof Readable ? Body : Readable.from([]), signal);
    },

    async remove(key) {
      const Key = objectKey(key);
      const command = new DeleteObjectCommand({ ...bucket.common, Key });
      try {
        await bucket.call('DeleteObject', Key, undefined, () => bucket.client.send(command));
      } catch (error) {
        if (!(error instanceof SinkError) || error.code !== 'ERR_NOT_FOUND') throw error;
      }
    },

    async sweep(under, before, sweepOptions = {}) {
      return sweepUploads(bucket, withPrefix(under), before, sweepOptions);
    },

    uploads: {
      parallel: settings.concurrency,
      partSize: (length, most) => partSize(1, settings.partSize, length, most),
      async begin(key, putOptions = {}) {
        return beginUpload(bucket, settings, objectKey(key), putOptions, putOptions.signal);
      },
      send: (upload, number, bytes, crc32, signal) => sendPart(bucket, upload, number, bytes, crc32, signal),
      list: (upload, signal) => listParts(bucket, upload, signal),
      complete: (upload, parts, whole) => completeUpload(bucket, upload, parts, whole),
      async abort(upload) {
        await abortUpload(bucket, upload, settings.log);
      },
    },

    close() {
      bucket.client.destroy();
    },
  };
}
