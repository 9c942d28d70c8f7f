import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { start } from './processes.ts';

test('health tells a fresh sign of life from an old one and from none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-cli-'));
  const health = (args: string) =>
    start(['health', '--health-file', 'alive', ...args.split(' ').filter(Boolean)], { cwd: folder }).ended;
  try {
    expect(await health('')).toEqual({
      code: 1,
      stdout: 'unhealthy: no worker has written alive\n',
      stderr: '',
    });
    expect(await health('--json')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('"healthy": false'),
    });
    await writeFile(join(folder, 'alive'), '');
    expect(await health('')).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^healthy: the worker last reached Postgres \d+s ago\n$/),
      stderr: '',
    });
    const old = new Date(Date.now() - 200_000);
    await utimes(join(folder, 'alive'), old, old);
    expect(await health('--max-age 2m')).toEqual({
      code: 1,
      stdout: expect.stringMatching(/^unhealthy: the worker last reached Postgres 3m 2\ds ago\n$/),
      stderr: '',
    });
    expect(await health('--max-age 1h')).toMatchObject({ code: 0 });
    expect(await health('--max-age old')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'udm-sync: --max-age is "old"; it must be a duration such as 90s, 50m or 2h.\n',
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
