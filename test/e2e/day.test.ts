import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { steady, withTranscript } from '../../demo/day-document.ts';

const root = join(import.meta.dirname, '../..');

test('docs/a-day-in-the-life.md is what `npm run day` prints', { timeout: 400_000 }, async () => {
  const child = spawn(process.execPath, [join(root, 'demo/day.ts')], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let wrong = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (wrong += text));
  const [code]: unknown[] = await once(child, 'close');
  expect({ code, wrong }, said).toEqual({ code: 0, wrong: '' });
  const document = await readFile(join(root, 'docs/a-day-in-the-life.md'), 'utf8');
  expect(steady(document), 'bring it up to date with: npm run day -- --update').toBe(
    steady(withTranscript(document, said)),
  );
});

test('a document that tells of another day is told apart', () => {
  const document = '# Day\n\n## One\n\nWords.\n\n```console\n$ a\nold\n```\n\n## Words only\n';
  expect(withTranscript(document, '\n## One\n\n$ a\nnew $& $1\n')).toBe(
    document.replace('old', () => 'new $& $1'),
  );
  expect(() => withTranscript(document, '\n## Two\n\n$ b\n')).toThrow('no section "One"');
  expect(() => withTranscript(document, '\n## One\n\n$ a\n\n## Two\n\n$ b\n')).toThrow('no section "Two"');
  expect(steady('at 2026-11-24T22:23:13Z, in 3m 2s')).toBe(steady('at 2026-12-01T00:00:00.123Z, in 9d'));
  expect(steady('2026-01-05T06:00Z')).not.toBe(steady('2026-01-05T07:00Z'));
});
