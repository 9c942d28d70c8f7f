import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { plainClient } from '../sinks/s3-harness.ts';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { read, sweep } from './contract.ts';
import { definition, makePlace, s3Sink } from './place.ts';
import type { Place } from './place.ts';

let place: Place;
let s3: S3Server;
let bucket: string;
beforeAll(async () => {
  [place, s3] = await Promise.all([makePlace(), startS3Server()]);
  bucket = await s3.createBucket();
});
afterAll(async () => {
  await place[Symbol.asyncDispose]();
  await s3.stop();
});

test('sweep counts what it would abort, aborts it, and finds no more', async () => {
  await place.configure({
    sinks: { lake: s3Sink(s3, bucket), disk: { type: 'filesystem', directory: './stored' } },
    definitions: { contacts: definition({ sink: 'lake' }) },
  });
  const client = plainClient(s3);
  const where = { Bucket: bucket, Key: 'leaked.zip' };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
  await client.send(
    new UploadPartCommand({ ...where, UploadId, PartNumber: 1, Body: Buffer.alloc(3 * 1024) }),
  );
  client.destroy();
  const [uploads, bytes] = s3.kind === 'ceph' ? [1, 3072] : [0, 0];

  const young = read(sweep, (await place.run('sweep --json')).stdout);
  expect(young).toMatchObject({ dryRun: false, olderThanSeconds: 86_400, uploads: 0 });
  const dry = await place.run('sweep lake --older-than 1ms --dry-run --json');
  expect(read(sweep, dry.stdout)).toEqual({
    dryRun: true,
    olderThanSeconds: 0.001,
    uploads,
    bytes,
    sinks: [
      {
        sink: 'lake',
        uri: `s3://${bucket}`,
        settled: { uploads: 0, bytes: 0 },
        leaked: { uploads, bytes },
        error: null,
      },
    ],
  });
  const swept = await place.run('sweep --older-than 1ms');
  expect(swept).toMatchObject({ code: 0, stderr: '' });
  expect(swept.stdout).toMatch(/^SINK +WHERE +SETTLED +LEAKED, OLDER THAN 0s\nlake +s3:\/\/\S+ +0 \(0 B\) +/);
  expect(swept.stdout).toContain(
    s3.kind === 'ceph'
      ? '\nAborted 1 unfinished upload, 3.0 KiB.\n'
      : '\nAborted 0 unfinished uploads, 0 B.\n',
  );
  expect(read(sweep, (await place.run('sweep --older-than 1ms --json')).stdout).uploads).toBe(0);
});

test('a sink that fails is named, and the others are swept', async () => {
  await place.configure({
    sinks: {
      lake: s3Sink(s3, 'udm-sync-no-such-bucket'),
      disk: { type: 'filesystem', directory: './stored' },
    },
  });
  const told = await place.run('sweep --json');
  expect(told).toMatchObject({ code: 1 });
  expect(read(sweep, told.stdout).sinks).toMatchObject([
    { sink: 'lake', leaked: null, error: expect.stringMatching(/NoSuchBucket.* \[ERR_SINK_BUCKET\]$/) },
    { sink: 'disk', leaked: { uploads: 0, bytes: 0 }, error: null },
  ]);
  const shown = await place.run('sweep');
  expect(shown).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^udm-sync: sink lake: .*ERR_SINK_BUCKET\]\n$/),
  });
});

test.each([
  [
    'sweep lakes',
    /^udm-sync: There is no sink "lakes"; did you mean "lake"\? The config has: lake, disk\.\n$/,
  ],
  ['sweep --older-than soon', /^udm-sync: --older-than is "soon"; it must be a duration such as/],
])('%s is refused', async (args, message) => {
  expect(await place.run(args)).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
});
