import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { crc32 } from 'node:zlib';
import { GetObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';

/** What lies under one key. */
export interface StoredObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly crc32: string;
  readonly sha256: string;
  /** Of objects that end in .json. */
  readonly text: string | undefined;
}

/** Everything a sink holds. */
export interface Stored {
  readonly objects: StoredObject[];
  /** Keys or names of what was begun and never completed; undefined where the server does not list them. */
  readonly unfinishedUploads: string[] | undefined;
}

/** Where the files went: a bucket, or a folder of the filesystem sink. */
export type Storage =
  | {
      readonly kind: 's3';
      readonly client: S3Client;
      readonly bucket: string;
      /** Whether the server lists unfinished uploads. */
      readonly listsUploads: boolean;
    }
  | {
      readonly kind: 'folder';
      readonly folder: string;
      /** What its keys are to begin with, where there is a bucket too. */
      readonly prefix?: string;
    };

/** Reads every byte that is stored. */
export async function readStorages(storages: readonly Storage[]): Promise<Stored> {
  const all = await Promise.all(
    storages.map((storage) => (storage.kind === 's3' ? readBucket(storage) : readFolder(storage))),
  );
  const lists = all.flatMap(({ unfinishedUploads }) => (unfinishedUploads ? [unfinishedUploads] : []));
  const found = lists.flat();
  return {
    objects: all.flatMap(({ objects }) => objects),
    // What one of them has left is told, even if another does not tell.
    unfinishedUploads: found.length > 0 || lists.length === all.length ? found : undefined,
  };
}

async function readBucket({
  client,
  bucket,
  listsUploads,
}: Extract<Storage, { kind: 's3' }>): Promise<Stored> {
  const objects: StoredObject[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
    );
    for (const { Key: key = '' } of page.Contents ?? []) objects.push(await readObject(client, bucket, key));
    token = page.NextContinuationToken;
  } while (token !== undefined);
  if (!listsUploads) return { objects, unfinishedUploads: undefined };
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return { objects, unfinishedUploads: Uploads.map(({ Key: key = '' }) => key) };
}

async function readObject(client: S3Client, bucket: string, key: string): Promise<StoredObject> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
  return {
    key,
    size: bytes.byteLength,
    crc32: hex(crc32(bytes)),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    text: key.endsWith('.json') ? Buffer.from(bytes).toString() : undefined,
  };
}

/** Where the filesystem sink keeps files until they are whole. */
const temporary = '.udm-sync-tmp';

async function readFolder({ folder, prefix }: Extract<Storage, { kind: 'folder' }>): Promise<Stored> {
  if (!existsSync(folder)) return { objects: [], unfinishedUploads: [] };
  const named = (path: string) => (prefix === undefined ? path : `${prefix}/${path}`);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const objects: StoredObject[] = [];
  const unfinishedUploads: string[] = [];
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const key = relative(folder, path).split(sep).join('/');
    if (key.startsWith(`${temporary}/`)) {
      unfinishedUploads.push(named(key));
      continue;
    }
    const hash = createHash('sha256');
    let [size, checksum] = [0, 0];
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      checksum = crc32(chunk, checksum);
      size += chunk.length;
    }
    const text = key.endsWith('.json') ? await readFile(path, 'utf8') : undefined;
    objects.push({ key: named(key), size, crc32: hex(checksum), sha256: hash.digest('hex'), text });
  }
  return { objects, unfinishedUploads };
}

const hex = (checksum: number) => checksum.toString(16).padStart(8, '0');
