import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { crc32 } from 'node:zlib';
import { GetObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Pool, QueryResultRow } from 'pg';
import { z } from 'zod';
import type { Upstream } from './upstream.ts';
import type { WitnessedDelete } from './witness.ts';

/** What the auditor was told beforehand: which windows there should be, and where their files should lie. */
export interface Expectation {
  readonly tenant: string;
  readonly definition: string;
  /** What keys begin with, without a slash at its end. */
  readonly prefix: string;
  /** UTC, half-open, a whole number of windows. */
  readonly from: Date;
  readonly to: Date;
  readonly lengthMs: number;
}

/** Which jobs of people a definition collects from; every entry that they made is expected. */
export type Adopted = Pick<Expectation, 'tenant' | 'definition' | 'prefix'> & {
  /** Of the jobs; compared as a whole. */
  readonly title: string;
};

export interface Sources {
  readonly upstream: Upstream;
  readonly database: Pool;
  readonly s3: S3Client;
  readonly bucket: string;
  /** A folder that is a sink too, and what its keys are to begin with. */
  readonly disk: { readonly folder: string; readonly prefix: string };
  /** Whether the server lists unfinished uploads. */
  readonly listsUploads: boolean;
  readonly deletes: readonly WitnessedDelete[];
  readonly expected: readonly Expectation[];
  readonly adopted: readonly Adopted[];
}

const optionalText = z.string().optional();
const upstreamState = z.object({
  now: z.string(),
  jobs: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      createdAt: z.string(),
      endedAt: optionalText,
      deletedAt: optionalText,
      runs: z.array(z.object({ id: z.string(), state: z.string(), deletedAt: optionalText })),
    }),
  ),
  files: z.array(
    z.object({
      name: z.string(),
      size: z.number(),
      generation: z.number(),
      historyId: optionalText,
      jobId: optionalText,
      deletedAt: optionalText,
      deletedBy: optionalText,
    }),
  ),
});
const request = z.object({
  wallTime: z.string(),
  method: z.string(),
  endpoint: z.string(),
  path: z.string(),
  query: z.record(z.string(), z.string()),
  jobs: z.array(z.string()),
  histories: z.array(z.string()),
  files: z.array(z.string()),
  deletedFiles: z.array(z.string()),
});
const digest = z.object({ size: z.number(), crc32: z.string(), sha256: z.string() });

export interface RunRow {
  readonly id: number;
  readonly definition: string;
  readonly windowFrom: Date;
  readonly windowTo: Date;
  /** Of a people's job; null for windows of ours. */
  readonly entry: string | null;
  readonly state: string;
}
export interface ExportRow {
  readonly id: number;
  readonly runId: number;
  readonly attempt: number;
  readonly state: string;
  readonly marker: string;
  readonly jobId: string | null;
  readonly historyId: string | null;
}
export interface FileRow {
  readonly id: number;
  readonly runId: number;
  readonly exportId: number;
  readonly name: string;
  readonly key: string;
  readonly state: string;
  readonly size: number | null;
  readonly crc32: string | null;
  readonly verifiedAt: Date | null;
  readonly deletedAt: Date | null;
}
export interface HistoryRow {
  readonly id: number;
  readonly runId: number;
  readonly fileId: number | null;
  readonly subject: string;
  readonly fromState: string | null;
  readonly toState: string;
}
export interface StoredObject {
  readonly key: string;
  readonly size: number;
  readonly crc32: string;
  readonly sha256: string;
  /** Of objects that end in .json. */
  readonly text: string | undefined;
}

/** All that the auditor judges by: plain data, so that a planted fault is one changed value. */
export interface Facts {
  readonly expected: readonly Expectation[];
  readonly adopted: readonly Adopted[];
  /** Simulated time. */
  readonly now: string;
  readonly jobs: z.infer<typeof upstreamState>['jobs'];
  readonly upstreamFiles: (z.infer<typeof upstreamState>['files'][number] & z.infer<typeof digest>)[];
  readonly requests: z.infer<typeof request>[];
  readonly deletes: WitnessedDelete[];
  readonly objects: StoredObject[];
  /** Undefined where the server does not list them. */
  readonly unfinishedUploads: string[] | undefined;
  readonly runs: RunRow[];
  readonly exports: ExportRow[];
  readonly files: FileRow[];
  readonly history: HistoryRow[];
}

/** Reads everything from outside: the upstream's own record, the bucket's bytes, and Postgres by plain SQL. */
export async function collectFacts(sources: Sources): Promise<Facts> {
  const { upstream, database, s3, bucket, deletes, expected, adopted } = sources;
  const { now, jobs, files } = upstreamState.parse(await upstream.ask('state'));
  const upstreamFiles = await Promise.all(
    files.map(async (file) => {
      const query = new URLSearchParams({ name: file.name, generation: String(file.generation) });
      return { ...file, ...digest.parse(await upstream.ask(`digest?${query.toString()}`)) };
    }),
  );
  const rows = async <Row extends QueryResultRow>(sql: string) => (await database.query<Row>(sql)).rows;
  return {
    expected,
    adopted,
    now,
    jobs,
    upstreamFiles,
    requests: z.array(request).parse(await upstream.ask('log')),
    deletes: [...deletes],
    objects: [...(await readBucket(s3, bucket)), ...(await readFolder(sources.disk))],
    unfinishedUploads: sources.listsUploads ? await listUploads(s3, bucket) : undefined,
    runs: await rows<RunRow & QueryResultRow>(
      `select id::int, definition, window_from as "windowFrom", window_to as "windowTo",
         adopted_entry as entry, state
       from udm_sync.runs order by id`,
    ),
    exports: await rows<ExportRow & QueryResultRow>(
      `select id::int, run_id::int as "runId", attempt, state, marker, upstream_job_id as "jobId",
         upstream_history_id as "historyId" from udm_sync.exports order by id`,
    ),
    files: await rows<FileRow & QueryResultRow>(
      `select id::int, run_id::int as "runId", export_id::int as "exportId", name, key, state, size::float8, crc32,
         verified_at as "verifiedAt", deleted_at as "deletedAt" from udm_sync.files order by id`,
    ),
    history: await rows<HistoryRow & QueryResultRow>(
      `select id::int, run_id::int as "runId", file_id::int as "fileId", subject, from_state as "fromState",
         to_state as "toState" from udm_sync.history order by id`,
    ),
  };
}

async function readBucket(s3: S3Client, bucket: string): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  let token: string | undefined;
  do {
    const page = await s3.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
    );
    const keys = (page.Contents ?? []).map(({ Key = '' }) => Key);
    objects.push(...(await Promise.all(keys.map((key) => readObject(s3, bucket, key)))));
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return objects;
}

async function readObject(s3: S3Client, bucket: string, key: string): Promise<StoredObject> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  return describe(key, (await Body?.transformToByteArray()) ?? new Uint8Array());
}

function describe(key: string, bytes: Uint8Array): StoredObject {
  return {
    key,
    size: bytes.byteLength,
    crc32: crc32(bytes).toString(16).padStart(8, '0'),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    text: key.endsWith('.json') ? Buffer.from(bytes).toString() : undefined,
  };
}

/** Every file below the folder, those that a sink keeps for itself included. */
async function readFolder({ folder, prefix }: Sources['disk']): Promise<StoredObject[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
  return Promise.all(
    paths.map(async (path) => describe(`${prefix}/${relative(folder, path)}`, await readFile(path))),
  );
}

async function listUploads(s3: S3Client, bucket: string): Promise<string[]> {
  const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return Uploads.map(({ Key: key = '' }) => key);
}
