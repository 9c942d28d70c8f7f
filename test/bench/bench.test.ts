import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { start } from '../e2e/processes.ts';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'bench/main.ts');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udm-sync-bench-test-'));
  // As root, PostgreSQL runs as another user, who must be able to pass.
  await chmod(folder, 0o711);
});
afterAll(() => rm(folder, { recursive: true }));

const run = (args: string) => start(main, args.split(' '), { TMPDIR: folder }).ended;

const answer = z.object({
  machine: z.string(),
  cases: z.array(
    z.object({ case: z.string(), bars: z.array(z.object({ value: z.number() })), data: z.unknown() }),
  ),
});
const contender = z.object({
  id: z.string(),
  wallSeconds: z.number().positive(),
  cpuSeconds: z.number().positive(),
  startCpuSeconds: z.number().positive(),
  peakRssBytes: z.number().min(1024 * 1024),
});

test('one large file is measured, ours against the floor, and profiled', { timeout: 180_000 }, async () => {
  const profile = join(folder, 'profile');
  const { code, stdout, stderr } = await run(
    `--case one-file --size 20MiB --runs 1 --no-peers --no-wait --json --profile ${profile}`,
  );
  expect(stderr).toContain('udm-sync: ');
  expect(code).toBe(0);
  const { cases } = answer.parse(JSON.parse(stdout));
  expect(cases.map((each) => each.case)).toEqual(['one-file-null']);
  const measured = z.array(contender).parse(cases[0]?.data);
  expect(measured.map(({ id }) => id)).toEqual(['ours', 'ours-unsigned', 'floor']);
  expect(cases[0]?.bars).toHaveLength(4);
  const svg = await readFile(join(profile, 'flame-graph.svg'), 'utf8');
  expect(svg).toContain('src/transfer/transfer.ts');
  expect(svg).not.toContain(root);
});

test('many files and small files go through, and are counted', { timeout: 180_000 }, async () => {
  const { code, stdout, stderr } = await run(
    '--case many-large --case small-files --size 9MiB --files 3 --no-peers --no-wait --json',
  );
  expect(stderr).toContain('files a second');
  expect(code).toBe(0);
  const { cases } = answer.parse(JSON.parse(stdout));
  expect(cases.map((each) => each.case)).toEqual(['many-large-null', 'small-files-null']);
  const [large, small] = cases.map((each) => each.data);
  expect(large).toMatchObject({ files: 3, quarterMedians: expect.arrayContaining([expect.any(Number)]) });
  expect(z.object({ filesPerSecond: z.number().positive() }).parse(small)).toBeDefined();
});

test.each([
  ['--case two-files', '--case must be one of one-file, many-large, small-files, not "two-files".'],
  ['--size huge', '--size must look like 64KiB, 256MiB or 1GiB, not "huge".'],
  ['--runs 0', '--runs must be a whole number from 1 to 9999999, not "0".'],
  ['--frobnicate', "Unknown option '--frobnicate'"],
])('%s is refused', async (args, message) => {
  const { code, stderr } = await run(args);
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});

test('the help has an example', async () => {
  const { code, stdout } = await run('--help');
  expect(stdout).toContain('Example: npm run bench -- --case one-file');
  expect(code).toBe(0);
});
