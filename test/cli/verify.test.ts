import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plainClient } from '../sinks/s3-harness.ts';
import { cephInstalled, startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';
import { read, runs, verify } from './contract.ts';
import { definition, definitionIn, makePlace, s3Sink } from './place.ts';
import type { Place } from './place.ts';

const names = ['whole', 'removed', 'replaced', 'edited', 'short'];

describe.each(['fauxqs', ...(cephInstalled() ? (['ceph'] as const) : [])] as const)('on %s', (kind) => {
  let place: Place;
  let s3: S3Server;
  let client: S3Client;
  let Bucket: string;
  beforeAll(async () => {
    [place, s3] = await Promise.all([
      makePlace({
        filesFor: ({ title }) => [1, 2].map((n) => ({ name: `${definitionIn(title)}-${n}.zip`, size: 1000 })),
      }),
      startS3Server(kind),
    ]);
    Bucket = await s3.createBucket();
    client = plainClient(s3);
    await configure();
    const done = await place.run('run');
    expect(done.code, done.stderr).toBe(0);
  });
  afterAll(async () => {
    client.destroy();
    await place[Symbol.asyncDispose]();
    await s3.stop();
  });

  const configure = (sink = s3Sink(s3, Bucket)) =>
    place.configure({
      sinks: { lake: { ...sink, prefix: 'udm' } },
      definitions: Object.fromEntries(names.map((name) => [name, definition({ sink: 'lake' })])),
    });
  /** fauxqs keeps a checksum of the whole object; Ceph says nothing of any. */
  const usual = kind === 'ceph' ? 'size' : 'checksum';
  const keys = async () => {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    return Contents.map(({ Key = '' }) => Key).sort();
  };
  const keyOf = async (what: string) => (await keys()).find((key) => key.includes(what)) ?? what;
  const everything = () =>
    place.sql(
      `select (select count(*) from udm_sync.history) as history, (select md5(string_agg(r::text, '' order by id)) from udm_sync.runs r) as runs, (select md5(string_agg(f::text, '' order by id)) from udm_sync.files f) as files`,
    );

  test('what is as it was stored is true, and how far it is proven is said', async () => {
    const told = await place.run('verify');
    expect(told).toMatchObject({ code: 0, stderr: '' });
    expect(told.stdout).toMatch(
      new RegExp(`^ok    run \\d+ edited \\S+ → \\S+: 2 files, 2.0 KiB, proof: ${usual}\n`),
    );
    expect(told.stdout).toContain(
      `\n5 runs, 10 files, 9.8 KiB. Proven by size: ${usual === 'size' ? 10 : 0}, by checksum: ${usual === 'size' ? 0 : 10}, by reading: 0. Missing: 0, different: 0, wrong manifests: 0, not checked: 0.\n`,
    );
    const deep = read(verify, (await place.run('verify --deep --json whole')).stdout);
    expect(deep).toMatchObject({ ok: true, deep: true, totals: { runs: 1, proof: { read: 2 } } });
    const [whole] = read(runs, (await place.run('runs --json --definition whole')).stdout);
    const chosen = read(verify, (await place.run(`verify --json --run ${String(whole?.run)}`)).stdout);
    expect(chosen.runs.map((run) => run.definition)).toEqual(['whole']);
    const none = await place.run('verify --json --to 2020-01-01');
    expect(read(verify, none.stdout)).toMatchObject({ ok: true, totals: { runs: 0 } });
  });

  test('planted damage is found, each with a line, and nothing is changed', async () => {
    await client.send(new DeleteObjectCommand({ Bucket, Key: await keyOf('removed-1.zip') }));
    const put = async (what: string, Body: Buffer) =>
      client.send(new PutObjectCommand({ Bucket, Key: await keyOf(what), Body }));
    await put('replaced-2.zip', Buffer.alloc(1000, 'x'));
    await put('short-1.zip', Buffer.alloc(999));
    const key = await keyOf('edited/');
    const manifest = (await keys()).find((known) => known.includes('/edited/') && known.endsWith('.json'));
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: manifest ?? key }));
    const text = (await Body?.transformToString()) ?? '';
    await put(manifest ?? key, Buffer.from(text.replace('"size": 1000', '"size": 1001')));

    const before = [await everything(), await keys()];
    const shallow = await place.run('verify --json');
    expect(shallow).toMatchObject({ code: 1, stderr: '' });
    const seen = read(verify, shallow.stdout);
    const problemsOf = ({ runs }: typeof seen) =>
      runs.flatMap(({ definition, problems }) =>
        problems.map(({ kind, key }) => `${definition} ${kind} ${key?.split('/').at(-1) ?? ''}`),
      );
    const always = [
      'edited manifest _manifest.json',
      'removed missing removed-1.zip',
      ...(kind === 'fauxqs' ? ['replaced different replaced-2.zip'] : []),
      'short different short-1.zip',
    ];
    expect(problemsOf(seen)).toEqual(always);
    expect(seen.totals.problems).toEqual({
      missing: 1,
      different: kind === 'fauxqs' ? 2 : 1,
      manifest: 1,
      unchecked: 0,
    });
    const deep = read(verify, (await place.run('verify --json --deep')).stdout);
    expect(problemsOf(deep)).toEqual([
      'edited manifest _manifest.json',
      'removed missing removed-1.zip',
      'replaced different replaced-2.zip',
      'short different short-1.zip',
    ]);
    expect(deep.runs.flatMap(({ files }) => files).filter((file) => file.proof === null)).toHaveLength(3);
    expect(deep.totals.proof).toEqual({ size: 0, checksum: 0, read: 7 });

    const shown = await place.run('verify edited removed');
    expect(shown).toMatchObject({ code: 1, stderr: '' });
    expect(shown.stdout).toMatch(
      /^FAIL {2}run \d+ edited \S+ → \S+: manifest \S+\/_manifest\.json: it says of \S+: "edited-1\.zip", 1001 bytes, CRC-32 [0-9a-f]{8}, instead of "edited-1\.zip", 1000, [0-9a-f]{8}\n/,
    );
    expect(shown.stdout).toMatch(
      /\nFAIL {2}run \d+ removed .*: missing \S+: nothing is there; it had 1000 bytes/,
    );
    expect([await everything(), await keys()]).toEqual(before);
  });

  test('of a run whose details were pruned, the manifest tells what must be there', async () => {
    const long = `now() - interval '50 days'`;
    const runs = `(select id from udm_sync.runs where definition = 'removed')`;
    await place.sql(`update udm_sync.files set expires_at = ${long} where run_id in ${runs}`);
    await place.sql(`update udm_sync.runs set finished_at = ${long} where id in ${runs}`);
    expect((await place.run('prune --older-than 45d')).stdout).toContain('Pruned 1 run ');
    const { code, stdout } = await place.run('verify removed --json');
    expect(code).toBe(1);
    const [run] = read(verify, stdout).runs;
    expect(run).toMatchObject({
      pruned: true,
      problems: [{ kind: 'missing', key: expect.stringMatching(/removed-1\.zip$/) }],
    });
    expect(run?.files.map(({ proof }) => proof)).toEqual([null, usual]);
  });

  test('a manifest that is gone, or no JSON, is no proof', async () => {
    const manifest = (await keys()).find((known) => known.includes('/whole/') && known.endsWith('.json'));
    const where = { Bucket, Key: manifest ?? '' };
    await client.send(new PutObjectCommand({ ...where, Body: '{"version": 1' }));
    expect((await place.run('verify whole')).stdout).toMatch(/^FAIL .*_manifest\.json: it is no JSON\n/);
    await client.send(new PutObjectCommand({ ...where, Body: '{"version": 2}' }));
    expect((await place.run('verify whole')).stdout).toMatch(
      /^FAIL .*_manifest\.json: it cannot be understood at version\n/,
    );
    await client.send(new DeleteObjectCommand(where));
    expect(await place.run('verify whole')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^FAIL .*_manifest\.json: it is missing\n/),
    });
  });

  test('a sink that does not let us look, or is another one now, is said once for each run', async () => {
    await configure(s3Sink(s3, 'udm-sync-no-such-bucket'));
    const moved = read(verify, (await place.run('verify --json short')).stdout);
    expect(moved.totals.problems).toEqual({ missing: 0, different: 0, manifest: 0, unchecked: 1 });
    expect(moved.runs[0]?.problems[0]).toMatchObject({
      key: null,
      detail: expect.stringContaining('is now s3://udm-sync-no-such-bucket/udm'),
    });
    if (kind === 'ceph') {
      await configure(s3Sink(s3, Bucket, s3.stranger));
      const refused = await place.run('verify --json');
      expect(refused.code).toBe(1);
      expect(read(verify, refused.stdout).totals.problems).toMatchObject({ unchecked: 5, missing: 0 });
    }
    await configure();
  });
});

describe('the arguments', () => {
  let place: Place;
  beforeAll(async () => {
    place = await makePlace();
  });
  afterAll(() => place[Symbol.asyncDispose]());

  test.each([
    ['verify contcts', /^udm-sync: There is no definition "contcts"; did you mean "contacts"\?/],
    ['verify --run 7', /^udm-sync: There is no run 7\. udm-sync runs lists them\.\n$/],
    ['verify --run 7 --from 2026-01-01', /^udm-sync: --run names the runs; it goes without/],
    ['verify --from 2026-01-02 --to 2026-01-01', /^udm-sync: --from must be before --to\.\n$/],
    [
      'verify --concurrency 0',
      /^udm-sync: --concurrency is "0"; it must be a whole number from 1 to 1000\.\n$/,
    ],
  ])('%s is refused', async (args, message) => {
    expect(await place.run(args)).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
  });
});
