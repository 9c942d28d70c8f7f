import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { forbid } from './processes.ts';
import { definition, makePlace, s3Sink } from './place.ts';
import type { Place } from './place.ts';

/** Names that something between the upstream and a sink may take for something else. */
const awkward = [
  'two  blanks.zip.smime',
  '100%.zip.smime',
  'a%20b%2Fc%00.zip.smime',
  'plus+plus.zip.smime',
  'one, two,three.zip.smime',
  'folder/below/file.zip.smime',
  'back\\slash.zip.smime',
  'two..dots...zip.smime',
  '...',
  '_manifest.json',
  '.udm-sync-tmp',
  `quotes'"and<angles>&amp;.zip.smime`,
  'query?a=b&c=d#hash;v=1.zip.smime',
  'tab\tand\nnewline.zip.smime',
  ' blanks around ',
  'Ünïcödé 日本語 🎉.zip.smime',
  // Two spellings of one word: composed and decomposed.
  'caf\u00e9.zip.smime',
  'cafe\u0301.zip.smime',
  'UPPER.zip.smime',
  'upper.zip.smime',
  `${'long'.repeat(247)}1.zip.smime`,
  `${'long'.repeat(247)}2.zip.smime`,
  `${'ü'.repeat(990)}.zip.smime`,
];

let place: Place;
let s3: S3Server;
beforeAll(async () => {
  [place, s3] = await Promise.all([
    // Both exports are there at once, and a name stands for one file of the tenant.
    makePlace({
      filesFor: ({ type }) =>
        awkward.map((name, at) => ({ name: type === 'Contacts' ? name : `${name}!`, size: 700 + at })),
    }),
    startS3Server(),
  ]);
  forbid(s3.credentials.secretAccessKey);
  const { endpoint, region, credentials } = s3;
  const bucket = await s3.createBucket();
  await place.configure({
    sinks: {
      disk: { type: 'filesystem', directory: './stored' },
      bucket: { ...s3Sink(s3, bucket), prefix: 'a b+c' },
    },
    definitions: {
      'on-disk': definition({ type: 'Contacts' }),
      'in-bucket': definition({ type: 'Interactions', sink: 'bucket' }),
    },
  });
  const client = new S3Client({ endpoint, region, credentials: { ...credentials }, forcePathStyle: true });
  read = {
    'on-disk': (key) => readFile(join(place.folder, 'stored', key)),
    'in-bucket': async (key) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: `a b+c/${key}` }));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
  };
});
afterAll(async () => {
  await place[Symbol.asyncDispose]();
  await s3.stop();
});
let read: Record<string, (key: string) => Promise<Buffer>>;

const report = z.object({
  exitCode: z.literal(0),
  runs: z.array(z.object({ definition: z.string(), state: z.literal('done'), manifestKey: z.string() })),
});
const manifestShape = z.object({
  files: z.array(z.object({ name: z.string(), key: z.string(), size: z.number(), crc32: z.string() })),
});

test('files of any name arrive whole in either sink, and only then go upstream', async () => {
  const ended = await place.run('run --json');
  expect(ended.code, ended.stderr).toBe(0);
  const { runs } = report.parse(JSON.parse(ended.stdout));
  expect(runs.map((run) => run.definition).sort()).toEqual(['in-bucket', 'on-disk']);
  for (const run of runs) {
    const from = read[run.definition] ?? (() => Promise.reject(new Error(run.definition)));
    const { files } = manifestShape.parse(JSON.parse((await from(run.manifestKey)).toString()));
    const wanted = awkward.map((name) => (run.definition === 'on-disk' ? name : `${name}!`));
    expect(files.map((file) => file.name).sort()).toEqual(wanted.sort());
    expect(new Set(files.map((file) => file.key)).size).toBe(wanted.length);
    for (const file of files) {
      const bytes = await from(file.key);
      const digest = await place.simulator.fileDigest(file.name);
      expect(createHash('sha256').update(bytes).digest('hex'), file.name).toBe(digest?.sha256);
      expect(file.crc32).toBe(digest?.crc32);
    }
  }
  const deleted = place.simulator.requests.flatMap((request) => request.deletedFiles);
  expect(deleted.sort()).toEqual(awkward.flatMap((name) => [name, `${name}!`]).sort());
  expect(place.simulator.state().files.filter((file) => file.deletedAt === undefined)).toEqual([]);
});
