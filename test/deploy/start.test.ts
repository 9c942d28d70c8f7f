import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeFlags } from '../../bench/node-flags.ts';

const root = join(import.meta.dirname, '../..');

test('the image, with Docker and without, and the bench start Node alike', async () => {
  const [, entrypoint = ''] =
    /^ENTRYPOINT (.*)$/m.exec(await readFile(join(root, 'Dockerfile'), 'utf8')) ?? [];
  expect(JSON.parse(entrypoint)).toEqual(['node', ...nodeFlags, '/app/dist/src/cli/main.js']);
  // buildah runs what it is told, whatever the image's ENTRYPOINT is.
  expect(await readFile(join(root, 'scripts/build-image.sh'), 'utf8')).toContain(
    ` -- node ${nodeFlags.join(' ')} /app/dist/src/cli/main.js "$@"`,
  );
});
