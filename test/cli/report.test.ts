import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { recordsOf } from '../report/csv.ts';
import { read, report } from './contract.ts';
import { definition, definitionIn, makePlace } from './place.ts';
import type { Place } from './place.ts';

/** What an auditor is told of real exports, good and bad. */

const hostile = [
  `=HYPERLINK("x","y").zip.smime`,
  `<script>alert(1)</script>.zip.smime`,
  `a "quoted", listed.zip.smime`,
  `-1+1.zip.smime`,
];
const sizes: Readonly<Record<string, number>> = { 'broken.zip.smime': 100 };
const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
const day = (n: number) => new Date(today + n * dayMs).toISOString().slice(0, 10);

let place: Place;
beforeAll(async () => {
  place = await makePlace({
    filesFor: ({ title }) => {
      switch (definitionIn(title)) {
        case 'hostile':
          return hostile.map((name, n) => ({ name, size: 1000 + n }));
        case 'kept':
          return [{ name: 'kept.zip.smime', size: 500 }];
        default:
          return [{ name: 'broken.zip.smime', size: sizes['broken.zip.smime'] ?? 0 }];
      }
    },
    announcedSize: ({ name, size }) => (name === 'broken.zip.smime' ? 5000 : size),
  });
  await place.configure({
    definitions: {
      hostile: definition(),
      kept: definition({ delete: 'nothing' }),
      broken: definition(),
      idle: definition({ windows: { length: '1d', lag: '0s', start: day(-3) } }),
    },
  });
  const ended = await place.run('run hostile kept broken');
  expect(ended.code, ended.stdout + ended.stderr).toBe(3);
});
afterAll(() => place[Symbol.asyncDispose]());

const range = `--from ${day(-3)} --to ${day(0)}`;

test('JSON tells of every window and file what the database, the sink and the upstream know', async () => {
  const ended = await place.run(`report ${range}`);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  const told = read(report, ended.stdout);
  expect(told).toMatchObject({
    from: `${day(-3)}T00:00:00.000Z`,
    to: `${day(0)}T00:00:00.000Z`,
    definition: null,
    complete: false,
    totals: {
      windows: { done: 2, 'under-way': 0, failed: 1, cancelled: 0, 'not-planned': 3 },
      files: { deleted: 4, verified: 1, waiting: 0, dead: 1, lost: 0, setAside: 0 },
      bytes: 4506,
      proofs: { size: 0, checksum: 0, read: 5 },
    },
  });
  expect(told.definitions.map((one) => [one.definition, one.complete])).toEqual([
    ['hostile', true],
    ['kept', true],
    ['broken', false],
    ['idle', false],
  ]);
  const of = (name: string) => told.windows.filter((window) => window.definition === name);
  const [safe] = of('hostile');
  expect(safe).toMatchObject({ outcome: 'done', windows: 1, state: 'done', attempt: 1, reason: null });
  expect(safe?.sinkUri).toContain('stored');
  expect(safe?.files.map((file) => file.name)).toEqual(expect.arrayContaining(hostile));
  for (const file of [...(safe?.files ?? []), ...(of('kept')[0]?.files ?? [])]) {
    const digest = await place.simulator.fileDigest(file.name);
    expect(file).toMatchObject({ size: digest?.size, crc32: digest?.crc32, proof: 'read', open: false });
    expect((await readFile(join(place.folder, 'stored', file.key))).length).toBe(file.size);
    const upstream = place.simulator.state().files.find(({ name }) => name === file.name);
    expect(file.deletedAt === null, file.name).toBe(upstream?.deletedAt === undefined);
    if (file.deletedAt !== null) expect(file.verifiedAt && file.verifiedAt <= file.deletedAt).toBe(true);
  }
  expect(of('broken')[0]).toMatchObject({
    outcome: 'failed',
    reason: expect.stringMatching(/^1 of 1 files/),
  });
  expect(of('broken')[0]?.files).toMatchObject([
    { state: 'dead', open: true, crc32: null, verifiedAt: null, reason: expect.stringContaining('5000') },
  ]);
  expect(of('idle')).toMatchObject([
    {
      outcome: 'not-planned',
      windows: 3,
      run: null,
      window: { from: `${day(-3)}T00:00:00.000Z`, to: `${day(0)}T00:00:00.000Z` },
      files: [],
    },
  ]);
});

test('CSV says the same in rows, and no cell of it is a formula', async () => {
  const ended = await place.run(`report ${range} --format csv`);
  const records = recordsOf(ended.stdout);
  const files = records.filter((record) => record['record'] === 'file');
  expect(
    records.filter((record) => record['record'] === 'window').map((record) => record['outcome']),
  ).toEqual(['done', 'done', 'failed', 'not-planned']);
  expect(files).toHaveLength(6);
  for (const record of records)
    for (const cell of Object.values(record)) expect(cell).not.toMatch(/^[=+\-@\t\r|%]/);
  expect(files.map((record) => record['file'])).toEqual(
    expect.arrayContaining([`'${hostile[0]}`, hostile[1], hostile[2], `'${hostile[3]}`]),
  );
  const kept = files.find((record) => record['file'] === 'kept.zip.smime');
  expect(kept).toMatchObject({ state: 'verified', size: '500', proof: 'read', deleted_at: '' });
});

test('HTML is one page that runs and loads nothing, whatever files are called', async () => {
  const ended = await place.run(`report ${range} --output audit.html`);
  expect(ended).toEqual({
    code: 0,
    stdout: '',
    stderr:
      'Wrote audit.html: 6 windows, 2 done; 5 files verified (4.4 KiB), 4 deleted upstream, 1 dead, 0 lost.\n',
  });
  const page = await readFile(join(place.folder, 'audit.html'), 'utf8');
  expect(page).toMatch(/^<!doctype html>/);
  expect(page).not.toMatch(/<script|<link|<img|<iframe|\ssrc=|\shref=|@import|url\((?!#)/i);
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;.zip.smime');
  expect(page).toContain('<svg');
  expect(page).toContain('Not complete');
  expect(page).toMatch(/prefers-color-scheme: dark[^]*@media print/);
  expect(page).toContain('3 windows are due and no run has them');
  for (const tag of ['table', 'tbody', 'section', 'tr', 'div', 'main'])
    expect(page.split(`<${tag}`).length, tag).toBe(page.split(`</${tag}>`).length);
});

test('a range of one definition, and one in which nothing happened', async () => {
  const one = read(report, (await place.run(`report ${range} --definition kept`)).stdout);
  expect(one).toMatchObject({ definition: 'kept', complete: true });
  expect(one.windows.map((window) => window.definition)).toEqual(['kept']);
  for (const format of ['json', 'csv', 'html']) {
    const ended = await place.run(`report --from 2001-01-01 --to 2001-02-01 --format ${format}`);
    expect(ended, format).toMatchObject({ code: 0, stderr: '' });
    if (format === 'json')
      expect(read(report, ended.stdout)).toMatchObject({ complete: true, windows: [], totals: { bytes: 0 } });
    else if (format === 'csv') expect(recordsOf(ended.stdout)).toEqual([]);
    else expect(ended.stdout).toContain('No window in this range.');
  }
});

test('what cannot be reported is one clear line, and nothing is left behind', async () => {
  await mkdir(join(place.folder, 'folder'));
  const wrong: readonly (readonly [string, string])[] = [
    [
      '--from 2026-02-01 --to 2026-01-01',
      '--from is "2026-02-01" and --to is "2026-01-01"; --from must be earlier.',
    ],
    [
      '--from 2026-02-01 --to 2026-02-01',
      '--from is "2026-02-01" and --to is "2026-02-01"; --from must be earlier.',
    ],
    [
      '--from gestern --to 2026-02-01',
      '--from is "gestern"; it must be a date (2026-01-31) or a date and time (2026-01-31T08:00:00Z), in UTC unless it says otherwise.',
    ],
    [
      '--from 1800-01-01 --to 2026-02-01',
      '--from is "1800-01-01" and --to is "2026-02-01"; a report is about at most 100 years.',
    ],
    [`${range} --format pdf`, '--format is "pdf"; it must be one of: json, csv, html.'],
    [
      `${range} --definition hostle`,
      'There is no definition "hostle"; did you mean "hostile"? The config has: hostile, kept, broken, idle.',
    ],
    [`${range} --output folder`, '--output is "folder", which is a directory; name a file in it.'],
    [
      `${range} --output nowhere/report.json`,
      expect.stringMatching(/^--output is "nowhere\/report\.json", which cannot be written: ENOENT/),
    ],
  ];
  await Promise.all(
    wrong.map(async ([args, message]) => {
      const ended = await place.run(`report ${args}`);
      expect(ended, args).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr.replace(/^udm-sync: ([^]*)\n$/, '$1')).toEqual(message);
    }),
  );
  expect((await readdir(place.folder)).filter((name) => name.includes('.tmp'))).toEqual([]);
});
