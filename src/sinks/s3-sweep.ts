import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
} from '@aws-sdk/client-s3';
import type { ListMultipartUploadsCommandOutput } from '@aws-sdk/client-s3';

import { reached } from '../crash-points.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { s3Cause, s3Error } from './s3-errors.ts';
import type { StillNeeded, SweepOptions, SweepResult } from './sink.ts';

interface Unfinished {
  readonly key: string;
  readonly id: string;
}

type Send = { abortSignal?: AbortSignal };

/** Unfinished uploads that began before the time, page by page; none where the store cannot list them. */
async function* unfinishedBefore(
  bucket: S3Bucket,
  prefix: string,
  before: Date,
  send: Send,
): AsyncGenerator<Unfinished[]> {
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    let page: ListMultipartUploadsCommandOutput;
    try {
      const command = new ListMultipartUploadsCommand({
        ...bucket.common,
        ...marker,
        ...(prefix === '' ? {} : { Prefix: prefix }),
      });
      page = await bucket.client.send(command, send);
    } catch (error) {
      send.abortSignal?.throwIfAborted();
      if (s3Cause(error).status === 501) return;
      throw s3Error(error, 'ListMultipartUploads', bucket.uri(prefix));
    }
    const found: Unfinished[] = [];
    for (const { Key: key, UploadId: id, Initiated: began } of page.Uploads ?? [])
      if (key !== undefined && id !== undefined && began !== undefined && began < before)
        found.push({ key, id });
    yield found;
    // A store that knows no such list may answer with one of another kind, which is truncated without a marker.
    if (page.IsTruncated !== true || !page.NextKeyMarker) return;
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker ? { UploadIdMarker: page.NextUploadIdMarker } : {}),
    };
  }
}

/** Bytes of the parts of an upload; 0 where the store does not tell. */
async function bytesOf(bucket: S3Bucket, { key, id }: Unfinished, send: Send): Promise<number> {
  let bytes = 0;
  let marker: string | undefined;
  try {
    do {
      const command = new ListPartsCommand({
        ...bucket.common,
        Key: key,
        UploadId: id,
        ...(marker === undefined ? {} : { PartNumberMarker: marker }),
      });
      const page = await bucket.client.send(command, send);
      for (const part of page.Parts ?? []) bytes += part.Size ?? 0;
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
  } catch {
    return 0; // The upload goes all the same; its size is for the report only.
  }
  return bytes;
}

/**
 * By its id; or by its key, as long as the file is being written and its upload may not be noted yet. Keys count from
 * the prefix of a sink that may be another one in this bucket.
 */
function isNeeded({ key, id }: Unfinished, needed: StillNeeded): boolean {
  return (
    needed.uploads.has(id) || needed.keys.some((written) => key === written || key.endsWith(`/${written}`))
  );
}

/** Aborts the multipart uploads under a full key prefix that began before the time and that nobody needs. */
export async function sweepUploads(
  bucket: S3Bucket,
  prefix: string,
  before: Date,
  { needed, dryRun = false, signal }: SweepOptions,
): Promise<SweepResult> {
  const send = signal ? { abortSignal: signal } : {};
  let aborted = 0;
  let bytes = 0;
  for await (const page of unfinishedBefore(bucket, prefix, before, send)) {
    if (page.length === 0) continue;
    const kept = await needed?.();
    for (const upload of page) {
      if (kept && isNeeded(upload, kept)) continue;
      signal?.throwIfAborted();
      const held = await bytesOf(bucket, upload, send);
      if (!dryRun && !(await abort(bucket, upload, send))) continue;
      aborted += 1;
      bytes += held;
    }
  }
  return { aborted, bytes };
}

/** False when the upload was gone already. */
async function abort(bucket: S3Bucket, { key, id }: Unfinished, send: Send): Promise<boolean> {
  const command = new AbortMultipartUploadCommand({ ...bucket.common, Key: key, UploadId: id });
  reached('before:s3-abort');
  try {
    await bucket.client.send(command, send);
    reached('after:s3-abort');
    return true;
  } catch (error) {
    send.abortSignal?.throwIfAborted();
    if (s3Cause(error).name === 'NoSuchUpload') return false; // Its writer, or another sweep, was faster.
    throw s3Error(error, 'AbortMultipartUpload', bucket.uri(key));
  }
}
