import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
} from '@aws-sdk/client-s3';
import type { ListMultipartUploadsCommandOutput } from '@aws-sdk/client-s3';

import { reached } from '../crash-points.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { s3Cause, s3Error } from './s3-errors.ts';
import type { SweepResult } from './sink.ts';

interface Unfinished {
  readonly key: string;
  readonly id: string;
}

/** Unfinished uploads that began before the time; none where the store cannot list them. */
async function* unfinishedBefore(bucket: S3Bucket, prefix: string, before: Date): AsyncGenerator<Unfinished> {
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    let page: ListMultipartUploadsCommandOutput;
    try {
      page = await bucket.client.send(
        new ListMultipartUploadsCommand({
          ...bucket.common,
          ...marker,
          ...(prefix === '' ? {} : { Prefix: prefix }),
        }),
      );
    } catch (error) {
      if (s3Cause(error).status === 501) return;
      throw s3Error(error, 'ListMultipartUploads', bucket.uri(prefix));
    }
    for (const { Key: key, UploadId: id, Initiated: began } of page.Uploads ?? []) {
      if (key !== undefined && id !== undefined && began !== undefined && began < before) yield { key, id };
    }
    // A store that knows no such list may answer with one of another kind, which is truncated without a marker.
    if (page.IsTruncated !== true || !page.NextKeyMarker) return;
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker ? { UploadIdMarker: page.NextUploadIdMarker } : {}),
    };
  }
}

/** Bytes of the parts of an upload; 0 where the store does not tell. */
async function bytesOf(bucket: S3Bucket, { key, id }: Unfinished): Promise<number> {
  let bytes = 0;
  let marker: string | undefined;
  try {
    do {
      const page = await bucket.client.send(
        new ListPartsCommand({
          ...bucket.common,
          Key: key,
          UploadId: id,
          ...(marker === undefined ? {} : { PartNumberMarker: marker }),
        }),
      );
      for (const part of page.Parts ?? []) bytes += part.Size ?? 0;
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
  } catch {
    return 0; // The upload goes all the same; its size is for the report only.
  }
  return bytes;
}

/** Aborts the multipart uploads under a full key prefix that began before the time. */
export async function sweepUploads(bucket: S3Bucket, prefix: string, before: Date): Promise<SweepResult> {
  let aborted = 0;
  let bytes = 0;
  for await (const upload of unfinishedBefore(bucket, prefix, before)) {
    const held = await bytesOf(bucket, upload);
    const command = new AbortMultipartUploadCommand({
      ...bucket.common,
      Key: upload.key,
      UploadId: upload.id,
    });
    reached('before:s3-abort');
    try {
      await bucket.client.send(command);
      reached('after:s3-abort');
    } catch (error) {
      if (s3Cause(error).name === 'NoSuchUpload') continue; // Its writer, or another sweep, was faster.
      throw s3Error(error, 'AbortMultipartUpload', bucket.uri(upload.key));
    }
    aborted += 1;
    bytes += held;
  }
  return { aborted, bytes };
}
