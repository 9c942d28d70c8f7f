import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { effects } from '../../src/crash-points.ts';
import type { UdmClient } from '../../src/udm/types.ts';

const root = join(import.meta.dirname, '../..');

/** Whether a call changes anything upstream. The compiler sees that none is missing. */
const calls: Record<keyof UdmClient, 'reads' | 'changes'> = {
  getCipher: 'reads',
  uploadCipher: 'changes',
  listAttributes: 'reads',
  listJobStatuses: 'reads',
  listSources: 'reads',
  listSubTypes: 'reads',
  listTypes: 'reads',
  listHistory: 'reads',
  getHistory: 'reads',
  getHistoryProgress: 'reads',
  deleteHistory: 'changes',
  deleteHistoryList: 'changes',
  listJobs: 'reads',
  createJob: 'changes',
  getJob: 'reads',
  updateJob: 'changes',
  deleteJob: 'changes',
  deleteJobList: 'changes',
  cancelJob: 'changes',
  suspendJob: 'changes',
  resumeJob: 'changes',
  listFileMetadatas: 'reads',
  presignFiles: 'reads',
  locateFile: 'reads',
  download: 'reads',
  deleteFile: 'changes',
  deleteFiles: 'changes',
  getLabels: 'reads',
  getVersion: 'reads',
  checkToken: 'reads',
  close: 'reads',
};
const changing = Object.entries(calls)
  .filter(([, what]) => what === 'changes')
  .map(([name]) => name);

/** Writes that are no transaction of several statements. */
const singleWrites = [
  'noteNotCreated',
  'noteLookFailed',
  'insertUpload',
  'insertPart',
  'deleteUpload',
  String.raw`sendStep\(pipeline\.db`,
];

async function sources(pattern: string): Promise<{ file: string; text: string }[]> {
  const found = [];
  for await (const file of glob(pattern, { cwd: root }))
    found.push({ file, text: await readFile(join(root, file), 'utf8') });
  return found.sort((a, b) => a.file.localeCompare(b.file));
}

/** The effects of the crash points around each match: the last one before it, the first `after` behind it. */
function around(text: string, pattern: RegExp) {
  const points = [...text.matchAll(/reached\(['`](before|after):([^'`]+)['`]\)/g)];
  return [...text.matchAll(pattern)].map((match) => {
    const line = text.slice(0, match.index).split('\n').length;
    const before = points.findLast((point) => point.index < match.index);
    const next = points.find((point) => point.index > match.index);
    const after = points.find((point) => point.index > match.index && point[1] === 'after');
    const named = (point: RegExpMatchArray | undefined) => point && `${point[1] ?? ''}:${point[2] ?? ''}`;
    return { line, before: named(before), next: named(next), after: named(after) };
  });
}

/** What is no effect of the pipeline. */
const exempt = new Set(['src/cli/cipher.ts', 'src/jobs/fence.ts']);

test('every call that changes something upstream stands between its two points', async () => {
  let seen = 0;
  for (const { file, text } of await sources('src/{jobs,cli,transfer}/**/*.ts')) {
    if (exempt.has(file)) continue;
    for (const { line, before, after } of around(text, new RegExp(`\\.(${changing.join('|')})\\(`, 'g'))) {
      seen += 1;
      expect(before, `${file}:${line}`).toMatch(/^before:/);
      expect(after, `${file}:${line}`).toBe(before?.replace('before', 'after'));
    }
  }
  expect(seen).toBeGreaterThanOrEqual(5);
});

test('every transaction of the pipeline has a point as its last moment, and one after it', async () => {
  let seen = 0;
  for (const { file, text } of await sources('src/{jobs,cli,transfer}/**/*.ts')) {
    if (exempt.has(file)) continue;
    for (const { line, next, after } of around(text, /\btransact\(/g)) {
      seen += 1;
      expect(next, `${file}:${line}`).toMatch(/^before:/);
      expect(after, `${file}:${line}`).toBe(next?.replace('before', 'after'));
    }
  }
  expect(seen).toBeGreaterThan(10);
});

test('so has every other write into Postgres', async () => {
  let seen = 0;
  const writes = new RegExp(`await (pipeline\\.queue\\.)?(${singleWrites.join('|')})\\b`, 'g');
  for (const { file, text } of await sources('src/jobs/*.ts')) {
    for (const { line, before, next, after } of around(text, writes)) {
      // Within a transaction the point is behind it.
      const inTransaction = next?.startsWith('before:') === true;
      const first = inTransaction ? next : before;
      seen += 1;
      expect(first, `${file}:${line}`).toMatch(/^before:/);
      expect(after, `${file}:${line}`).toBe(first?.replace('before', 'after'));
    }
  }
  expect(seen).toBeGreaterThanOrEqual(6);
});

test('every call that changes the bucket or the disk has its points', async () => {
  const found: string[] = [];
  for (const { file, text } of await sources('src/{sinks,jobs,transfer}/**/*.ts')) {
    for (const [command = '', name = ''] of text.matchAll(/new (\w+)Command\(/g)) {
      if (/^(Head|Get|List)/.test(name)) continue;
      // Of `remove`, which only the doctor uses.
      if (name === 'DeleteObject' && file === 'src/sinks/s3.ts') continue;
      // The function that it stands in, from the line that begins it to the brace that ends it.
      const own = text.split(/(?<=^\}\n)/m).find((part) => part.includes(command)) ?? '';
      const points = [...own.matchAll(/reached\('(before|after):(s3-[a-z]+)'\)/g)];
      expect(
        points.map(([, when]) => when),
        `${file}: ${name}`,
      ).toEqual(['before', 'after']);
      found.push(`${name} ${points[0]?.[2] ?? ''}`);
    }
    for (const { line, before, after } of around(
      text,
      /await (rename|writeTemporary)\(|= await writeTemporary\(/g,
    )) {
      expect(before, `${file}:${line}`).toMatch(/^before:/);
      expect(after, `${file}:${line}`).toBe(before?.replace('before', 'after'));
    }
  }
  expect(found.sort()).toEqual([
    'AbortMultipartUpload s3-abort',
    'AbortMultipartUpload s3-abort',
    'CompleteMultipartUpload s3-complete',
    'CreateMultipartUpload s3-begin',
    'PutObject s3-put',
    'UploadPart s3-part',
  ]);
});

test('every declared effect has both its points in the program', async () => {
  const text = (await sources('src/**/*.ts')).map((source) => source.text).join('\n');
  for (const effect of effects)
    for (const point of [`before:${effect}`, `after:${effect}`]) {
      const byState = effect.startsWith('commit-') && text.includes('reached(`before:${effect}`)');
      expect(byState || text.includes(`reached('${point}')`), point).toBe(true);
    }
});

test('docs/crash-points.md has a line for every effect, and for no other', async () => {
  const manual = await readFile(join(root, 'docs/crash-points.md'), 'utf8');
  const named = [...manual.matchAll(/^\| `([a-z0-9-]+)` +\|/gm)].map(([, name = '']) => name);
  expect(named.toSorted()).toEqual([...effects].sort());
});
