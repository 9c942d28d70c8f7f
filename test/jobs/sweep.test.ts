import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sweepAll, sweepSink } from '../../src/jobs/sweep.ts';
import { temporaryStem } from '../../src/sinks/filesystem.ts';
import { exclusively } from '../../src/store/exclusive.ts';
import { plainClient } from '../sinks/s3-harness.ts';
import { cephInstalled, startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { Harness } from './harness.ts';

const MiB = 1024 * 1024;
const prefix = 'some/where';
/** As if an hour had passed: whatever was begun by now is older. */
const anHourLater = { olderThanMs: -3_600_000 };

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.stop();
  harness = undefined;
});

describe.each(['fauxqs', ...(cephInstalled() ? (['ceph'] as const) : [])] as const)('on %s', (kind) => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server(kind);
  });
  afterAll(() => server.stop());

  /** A bucket in which a worker has stopped in the middle of a file, and which knows of it. */
  async function interrupted() {
    const { endpoint, region, credentials } = server;
    const { accessKeyId, secretAccessKey } = credentials;
    const Bucket = await server.createBucket();
    harness = await Harness.start({
      sink: {
        ...{ type: 's3', bucket: Bucket, prefix, endpoint, region, accessKeyId, secretAccessKey },
        ...{ forcePathStyle: true, partSize: '5MiB' },
      },
      simulator: { filesFor: () => [{ name: 'big.zip', size: 40 * MiB }] },
      worker: { shutdownGrace: '0s' },
    });
    const observer = await harness.pipeline();
    const run = await harness.planHour(observer);
    const hold = harness.simulator.faults.add({
      endpoint: 'GET /s3/{filename}',
      kind: 'delay',
      ms: 20_000,
      nth: 5,
      times: 100,
    });
    const worker = await harness.worker();
    const parts = async () =>
      (await observer.db.execute<{ n: number }>(sql`select count(*)::int as n from udm_sync.parts`)).rows[0]
        ?.n ?? 0;
    await expect.poll(parts, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
    await worker.stop();
    hold.remove();
    const client = plainClient(server);
    const unfinished = async () => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
      return Uploads.map(({ Key }) => Key).sort();
    };
    /** What a writer leaves that dies before it notes what it began. */
    const leak = async (Key: string, bytes: number) => {
      const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      const Body = Buffer.alloc(bytes);
      await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body }));
    };
    return { harness, observer, run, parts, unfinished, leak };
  }

  test('a leaked upload goes, and one that a file still needs is gone on with', async ({
    onTestFinished,
  }) => {
    const { harness, observer, run, parts, unfinished, leak } = await interrupted();
    const { files } = await harness.story(observer, run.id);
    const live = `${prefix}/${files[0]?.key ?? ''}`;
    const kept = await parts();
    // Nobody is at it: only the upload that is noted says that it is needed.
    await observer.db.execute(sql`update udm_sync.files set state = 'waiting', claim = null`);
    await leak(`${prefix}/old/leaked.zip`, 1000);
    // Under the very key, by a worker that died just after it began.
    await leak(live, 200);
    await leak('not-ours/upload.zip', 10);
    // fauxqs cannot list them: there is nothing to see, and nothing to go wrong.
    const seen = kind === 'ceph' ? { aborted: 2, bytes: 1200 } : { aborted: 0, bytes: 0 };
    const none = { aborted: 0, bytes: 0 };

    expect(await sweepSink(observer, 'disk', { olderThanMs: 3_600_000 })).toEqual({
      settled: none,
      leaked: none,
    });
    expect(await sweepSink(observer, 'disk', { ...anHourLater, dryRun: true })).toEqual({
      settled: none,
      leaked: seen,
    });
    if (kind === 'ceph') expect(await unfinished()).toHaveLength(4);

    expect(await sweepSink(observer, 'disk', anHourLater)).toEqual({ settled: none, leaked: seen });
    if (kind === 'ceph') expect(await unfinished()).toEqual(['not-ours/upload.zip', live].sort());
    const before = harness.requests(/^GET \/s3\//).length;
    const worker = await harness.worker();
    onTestFinished(() => worker.stop());
    await harness.until(observer, run.id, 'done');
    // Gone on with: eight parts, less those kept, and ranges that the first worker had open and the origin noted late.
    expect(harness.requests(/^GET \/s3\//).length - before).toBeLessThanOrEqual(8 - kept + 4);
  });

  test('what is being written stays, noted or not; what is settled goes, whatever its age', async () => {
    const { harness, observer, run, unfinished, leak } = await interrupted();
    const { files } = await harness.story(observer, run.id);
    const key = files[0]?.key ?? '';
    const state = (word: string) =>
      observer.db.execute(sql`update udm_sync.files set state = ${word} where run_id = ${run.id}`);
    await state('transferring');
    // The upload is not noted yet, or that of a stream, which never is.
    await leak(`${prefix}/${key}`, 200);
    expect(await sweepSink(observer, 'disk', anHourLater)).toMatchObject({ leaked: { aborted: 0 } });
    if (kind === 'ceph') expect(await unfinished()).toHaveLength(2);

    await state('dead');
    const settled = { aborted: 1, bytes: expect.any(Number) };
    const dry = await sweepSink(observer, 'disk', { olderThanMs: 3_600_000, dryRun: true });
    expect(dry).toEqual({ settled, leaked: { aborted: 0, bytes: 0 } });
    expect(dry.settled.bytes).toBeGreaterThanOrEqual(10 * MiB);
    // A row that cannot be read holds up nothing, and stays.
    await observer.db.execute(sql`update udm_sync.uploads set upload = upload - 'key' || '{"was":1}'`);
    expect(await sweepSink(observer, 'disk', { olderThanMs: 3_600_000 })).toMatchObject({
      settled: { aborted: 0 },
    });
    await observer.db.execute(
      sql`update udm_sync.uploads set upload = upload || jsonb_build_object('key', ${`${prefix}/${key}`}::text)`,
    );
    expect(await sweepSink(observer, 'disk', { olderThanMs: 3_600_000 })).toMatchObject({
      settled: dry.settled,
    });
    expect(await sweepSink(observer, 'disk', { olderThanMs: 3_600_000 })).toMatchObject({
      settled: { aborted: 0 },
    });
    if (kind === 'ceph') expect(await unfinished()).toHaveLength(1);
  });

  test('one process sweeps at a time', async ({ skip }) => {
    skip(kind === 'fauxqs', 'cannot list unfinished uploads');
    const { observer, unfinished, leak } = await interrupted();
    await leak(`${prefix}/leaked.zip`, 10);
    await exclusively(observer.db, 'sweep', async () => {
      await sweepAll(observer, anHourLater);
      expect(await unfinished()).toHaveLength(2);
    });
    await sweepAll(observer, anHourLater);
    expect(await unfinished()).toHaveLength(1);
  });
});

test('in a folder, temporary files go but for those of folders that are being written to', async () => {
  harness = await Harness.start({
    simulator: { filesFor: () => [{ name: 'a.zip', size: 1000 }] },
    definition: { retry: { attempts: 3, minDelay: '1h', maxDelay: '1h' } },
  });
  harness.simulator.faults.add({
    endpoint: 'GET /v10/files/{filename}',
    kind: 'status',
    status: 404,
    times: 100,
  });
  const { pipeline } = await harness.worker();
  const run = await harness.planHour(pipeline);
  const attempts = async () =>
    (await harness?.story(pipeline, run.id))?.files.find((file) => file.state === 'waiting')?.attempts;
  await expect.poll(attempts, { timeout: 20_000 }).toBe(1);
  await pipeline.db.execute(sql`update udm_sync.files set state = 'transferring'`);
  const { files } = await harness.story(pipeline, run.id);
  const temporary = join(harness.folder, '.udm-sync-tmp');
  await mkdir(temporary, { recursive: true });
  const leave = async (folder: string, hours: number) => {
    const path = join(temporary, `${temporaryStem(folder)}-${hours}`);
    await writeFile(path, 'four');
    const at = new Date(Date.now() - hours * 3_600_000);
    await utimes(path, at, at);
  };
  const folder = (files[0]?.key ?? '').replace(/\/[^/]*$/, '');
  await leave(folder, 48);
  await leave('elsewhere', 48);
  await leave('elsewhere', 1);
  const day = { olderThanMs: 86_400_000 };
  const leaked = { aborted: 1, bytes: 4 };
  expect(await sweepSink(pipeline, 'disk', { ...day, dryRun: true })).toMatchObject({ leaked });
  expect(await readdir(temporary)).toHaveLength(3);
  expect(await sweepSink(pipeline, 'disk', day)).toMatchObject({ leaked });
  expect((await readdir(temporary)).sort()).toEqual(
    [`${temporaryStem(folder)}-48`, `${temporaryStem('elsewhere')}-1`].sort(),
  );
});
