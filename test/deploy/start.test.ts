import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeFlags } from '../../bench/node-flags.ts';

const root = join(import.meta.dirname, '../..');

test('the image and the bench start Node alike', async () => {
  const [, entrypoint = ''] =
    /^ENTRYPOINT (.*)$/m.exec(await readFile(join(root, 'Dockerfile'), 'utf8')) ?? [];
  expect(JSON.parse(entrypoint)).toEqual(['node', ...nodeFlags, '/app/dist/src/cli/main.js']);
});
