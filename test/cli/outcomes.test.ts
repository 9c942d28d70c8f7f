import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import type { FileSpec } from '../../simulator/server.ts';
import { read, runHistory, runs, status, work } from './contract.ts';
import { definition, definitionIn, makePlace } from './place.ts';
import type { Place } from './place.ts';

/** What becomes of exports that are not as they should be, as the operator sees it. */

const part = (n: number): FileSpec => ({ name: `split-part-000${n}-of-0003.zip.smime`, size: 900 });
const files: Readonly<Record<string, readonly FileSpec[]>> = {
  none: [],
  zero: [{ name: 'zero.zip.smime', size: 0 }],
  larger: [{ name: 'larger.zip.smime', size: 5000 }],
  smaller: [
    { name: 'smaller.zip.smime', size: 100 },
    { name: 'smaller-sibling.zip.smime', size: 300 },
  ],
  split: [part(1), part(3)],
  dots: [{ name: '../../etc/passwd,1', size: 100 }],
  keep: [{ name: 'keep.zip.smime', size: 800 }],
  all: [{ name: 'all.zip.smime', size: 800 }],
};
/** What the upstream announces, where that is not the truth. */
const announced: Record<string, number> = { 'larger.zip.smime': 100, 'smaller.zip.smime': 5000 };

let place: Place;
beforeAll(async () => {
  place = await makePlace({
    filesFor: ({ title }) => files[definitionIn(title)] ?? [],
    announcedSize: ({ name, size }) => announced[name] ?? size,
  });
  await place.configure({
    definitions: {
      none: definition(),
      zero: definition(),
      larger: definition(),
      smaller: definition(),
      split: definition({ fileSplitSize: 1, maxExportDuration: '1s' }),
      dots: definition(),
      keep: definition({ delete: 'nothing' }),
      all: definition({ delete: 'files-and-job' }),
    },
  });
});
afterAll(() => place[Symbol.asyncDispose]());

const manifestShape = z.object({
  files: z.array(z.object({ name: z.string(), key: z.string(), size: z.number() })),
  totals: z.object({ files: z.number(), bytes: z.number() }),
});

async function stored(key: string | null): Promise<Buffer> {
  return readFile(join(place.folder, 'stored', key ?? 'no key'));
}

test('one run with everything that can be wrong with an export', async () => {
  const ended = await place.run('run --json');
  expect(ended.code, ended.stderr).toBe(3);
  // Nothing but log lines on stderr.
  for (const line of ended.stderr.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
  const report = read(work, ended.stdout);
  expect(report).toMatchObject({ exitCode: 3, done: 5, failed: 3, cancelled: 0, left: 0 });
  const of = (name: string) => {
    const found = report.runs.find((run) => run.definition === name);
    if (!found) throw new Error(name);
    return found;
  };

  for (const name of ['none', 'zero', 'larger', 'keep', 'all']) {
    expect(of(name), name).toMatchObject({ state: 'done' });
    const manifest = manifestShape.parse(JSON.parse((await stored(of(name).manifestKey)).toString()));
    expect(
      manifest.files.map(({ name: file, size }) => ({ name: file, size })),
      name,
    ).toEqual(files[name]);
    for (const file of manifest.files) {
      const digest = await place.simulator.fileDigest(file.name);
      expect(
        createHash('sha256')
          .update(await stored(file.key))
          .digest('hex'),
      ).toBe(digest?.sha256);
    }
  }
  expect(of('smaller')).toMatchObject({ state: 'failed', manifestKey: expect.any(String) });
  expect(of('smaller').reason).toMatch(
    /^1 of 2 files could not be stored .*"smaller\.zip\.smime".* 100 .*5000/,
  );
  expect(of('split')).toMatchObject({ state: 'failed' });
  expect(of('split').reason).toMatch(
    /^the split set is incomplete: part 2 of 3 .*nothing was deleted upstream/,
  );
  expect(of('dots')).toMatchObject({ state: 'failed' });
  expect(of('dots').reason).toMatch(/"\.\.\/\.\.\/etc\/passwd,1" cannot be sent to the upstream/);
  for (const name of ['smaller', 'split', 'dots'])
    await expect(stored(of(name).manifestKey), name).rejects.toThrow('ENOENT');

  const upstream = place.simulator.state();
  const gone = upstream.files.filter((file) => file.deletedAt !== undefined).map((file) => file.name);
  expect(gone.sort()).toEqual(['all.zip.smime', 'larger.zip.smime', 'zero.zip.smime']);
  const jobs = upstream.jobs.filter((job) => job.deletedAt !== undefined);
  expect(jobs.map((job) => definitionIn(job.title))).toEqual(['all']);
});

test('status, runs and run-history say what is wrong and what to do', async () => {
  const [told, json, list, failed] = await Promise.all([
    place.run('status'),
    place.run('status --json'),
    place.run('runs --state failed,cancelled --limit 2'),
    place.run('runs --definition smaller --json'),
  ]);
  expect(told).toMatchObject({ code: 0, stderr: '' });
  expect(told.stdout).toMatch(/^AT RISK: 3 windows failed; somebody must look and retry\.\n/);
  expect(told.stdout).toMatch(
    /\nDEFINITION +DONE +UNDER WAY +NOT PLANNED +FAILED +CANCELLED +DONE UNTIL \(UTC\)/,
  );
  expect(told.stdout).toMatch(/\nzero +1 +0 +0 +0 +0 +\d{4}-\d\d-\d\dT00:00:00Z +\S+Z +-\n/);
  expect(told.stdout).toMatch(
    /Files not yet safe: 0 waiting \(0 B\), 2 dead; the vendor deletes the first of them in 29d 23h\./,
  );
  expect(told.stdout).toContain('Try again with: udm-sync retry <run>');
  expect(read(status, json.stdout)).toMatchObject({ verdict: 'at-risk', files: { dead: 2, lost: 0 } });
  expect(list.stdout).toMatch(/^RUN +DEFINITION +WINDOW \(UTC\) +STATE +ATTEMPT +UPDATED +REASON\n/);
  expect(list.stdout.trim().split('\n')).toHaveLength(3);

  const [run] = read(runs, failed.stdout);
  const id = String(run?.run);
  const history = await place.run(`run-history ${id}`);
  expect(history).toMatchObject({ code: 0, stderr: '' });
  expect(history.stdout).toMatch(new RegExp(`^Run ${id}: smaller .* → .*, failed, attempt 1\n1 of 2 files`));
  expect(history.stdout).toMatch(
    /\nsmaller-sibling\.zip\.smime +verified +300 B +[0-9a-f]{8} +read +1 +proof: read\n/,
  );
  expect(history.stdout).toMatch(/\nsmaller\.zip\.smime +dead .* 2 +"smaller\.zip\.smime" /);
  const detail = read(runHistory, (await place.run(`run-history ${id} --json`)).stdout);
  expect(detail.files.map((file) => file.state)).toEqual(['verified', 'dead']);
  expect(detail.history[0]).toMatchObject({ subject: 'run', from: null, to: 'planned', reason: 'schedule' });
  expect(detail.history.at(-1)).toMatchObject({ subject: 'run', to: 'failed' });
});

test('status speaks first of files that the vendor deletes before they are safe', async () => {
  const expire = (days: number) =>
    place.sql(`update udm_sync.files set expires_at = now() + interval '${days} days' where state = 'dead'`);
  await expire(9);
  const warned = await place.run('status');
  expect(warned.stdout).toMatch(/^AT RISK: 3 windows failed/);
  expect(warned.stdout).toMatch(
    /\nAt risk: 0 files critical, 2 warned of; .* deletes the first at \d{4}-\S+Z\.\n/,
  );
  await expire(2);
  const [told, json] = await Promise.all([place.run('status'), place.run('status --json')]);
  expect(told.code).toBe(0);
  expect(told.stdout).toMatch(
    /^AT RISK: the vendor deletes 2 files soon, the first at \d{4}-\S+Z, .*safe\.\n/,
  );
  expect(read(status, json.stdout)).toMatchObject({
    verdict: 'at-risk',
    atRisk: { critical: 2, warning: 0 },
  });
  await expire(29);
});

test('retry goes on with what is missing, once its cause is mended', async () => {
  const [run] = read(runs, (await place.run('runs --definition smaller --json')).stdout);
  delete announced['smaller.zip.smime'];
  const id = String(run?.run);
  // The size was noted when the file was listed.
  await place.sql(`update udm_sync.files set announced_size = 100 where name = 'smaller.zip.smime'`);
  expect(await place.run(`retry ${id}`)).toEqual({
    code: 0,
    stdout: `Run ${id} is transferring again; a worker (or udm-sync run) takes it from there.\n`,
    stderr: '',
  });
  expect(await place.run(`retry ${id}`)).toEqual({
    code: 2,
    stdout: '',
    stderr: `udm-sync: Run ${id} is transferring; only a failed or cancelled run can be retried.\n`,
  });
  const before = place.simulator.requests.length;
  const again = await place.run('run smaller');
  expect(again.code, again.stdout).toBe(0);
  expect(again.stdout).toMatch(/\n1 window: 1 done, 0 failed, 0 cancelled, 0 left\.\n$/);
  const fetched = place.simulator.requests.slice(before).filter((request) => request.path.startsWith('/s3/'));
  expect(fetched.flatMap((request) => request.files)).toEqual(['smaller.zip.smime']);
  const gone = place.simulator.state().files.filter((file) => file.deletedAt !== undefined);
  expect(gone.map((file) => file.name)).toEqual(
    expect.arrayContaining(['smaller.zip.smime', 'smaller-sibling.zip.smime']),
  );
});

test('a definition that left the config is still accounted for', async () => {
  await place.configure({ definitions: { zero: definition() } });
  const told = await place.run('status');
  expect(told.stdout).toMatch(/\nsplit \(not in the config\) +0 +0 +0 +1 /);
  expect(told.stdout).toMatch(/^AT RISK: 2 windows failed/);
  expect((await place.run('runs --definition split')).stdout).toMatch(/\n\d+ +split /);
});
