import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { UdmSyncError } from '../../src/errors.ts';
import { isSurroundings } from '../../src/jobs/settle.ts';

const root = join(import.meta.dirname, '../..');

/** Code, what happened and what to do, of each row of docs/errors.md. */
async function explanations(): Promise<{ code: string; meaning: string }[]> {
  const manual = await readFile(join(root, 'docs/errors.md'), 'utf8');
  return [...manual.matchAll(/^\| `(ERR_[A-Z0-9_]+)` +\| (\S.*) \| \S.* \|$/gm)].map(
    ([, code = '', meaning = '']) => ({ code, meaning }),
  );
}

test('docs/errors.md explains every error code there is, and no other', async () => {
  const used = new Set<string>();
  for await (const file of glob('src/**/*.ts', { cwd: root })) {
    const text = await readFile(join(root, file), 'utf8');
    for (const [, code = ''] of text.matchAll(/'(ERR_[A-Z0-9_]+)'/g)) used.add(code);
    // A code put together at run time would escape this list.
    expect(text, file).not.toMatch(/`ERR_[^`]*\$\{/);
  }
  const explained = (await explanations()).map(({ code }) => code);
  expect(explained).toEqual([...new Set(explained)]);
  expect(explained.toSorted()).toEqual([...used].sort());
});

test('docs/errors.md says rightly which errors a run waits out', async () => {
  const rows = await explanations();
  const waits = rows.filter(({ meaning }) => meaning.includes('Waits.')).map(({ code }) => code);
  const outlasted = rows.map(({ code }) => code).filter((code) => isSurroundings(new UdmSyncError(code, '')));
  expect(waits).toEqual(outlasted);
});
