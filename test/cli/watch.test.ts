import { spawn, spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { read, status } from './contract.ts';
import { makePlace } from './place.ts';
import type { Place } from './place.ts';
import { environment, follow, mainFile } from './processes.ts';

let place: Place;
beforeAll(async () => {
  place = await makePlace();
});
afterAll(() => place[Symbol.asyncDispose]());

const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
const patience = { timeout: 50_000 };

function onTerminal(args: string, env: Readonly<Record<string, string>> = {}) {
  const command = [process.execPath, mainFile, ...args.split(' ')].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', `exec ${command}`, '/dev/null'], {
    cwd: place.folder,
    env: environment({ TERM: 'xterm', SHELL: '/bin/sh', ...env }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return follow(child, args);
}

test('status --watch prints afresh until it is interrupted', async () => {
  const watching = place.start('status --watch 1s');
  await expect
    .poll(() => watching.said().split('Nothing has been exported').length, patience)
    .toBeGreaterThan(2);
  watching.child.kill('SIGINT');
  const ended = await watching.ended;
  expect(ended).toMatchObject({ code: 130, stderr: '' });
  expect(ended.stdout).toMatch(/^\d{4}-\S+Z\nNothing has been exported yet/);
  expect(ended.stdout).not.toContain('\u001b');
});

test('status --watch --json prints one document in each line', async () => {
  const watching = place.start('status --watch 1s --json');
  await expect.poll(() => watching.said().split('\n').length, patience).toBeGreaterThan(2);
  watching.child.kill('SIGTERM');
  const { code, stdout } = await watching.ended;
  expect(code).toBe(130);
  for (const line of stdout.trim().split('\n')) expect(read(status, line).verdict).toBe('idle');
});

test.each([
  ['0s', '--watch is "0s"; it must be a duration such as 90s, 50m or 2h.'],
  ['10ms', '--watch is "10ms"; it must be at least 1s.'],
  ['often', '--watch is "often"; it must be a duration such as 90s, 50m or 2h.'],
])('an interval of %s is refused', async (interval, message) => {
  expect(await place.run(`status --watch ${interval}`)).toEqual({
    code: 2,
    stdout: '',
    stderr: `udm-sync: ${message}\n`,
  });
});

test.skipIf(!hasScript)(
  'on a terminal it is drawn in place, and in colour unless that is not wanted',
  async () => {
    const watching = onTerminal('status --watch 1s');
    // Home, and clear from there: as often as it was drawn.
    await expect.poll(() => watching.said().split('\u001b[H\u001b[J').length, patience).toBeGreaterThan(2);
    // What Ctrl-C sends.
    watching.child.stdin?.write('\u0003');
    expect((await watching.ended).code).toBe(130);
    const drawn = watching.said();
    expect(drawn).toContain('\u001b[32mNothing has been exported');
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const plain = await onTerminal('status', env).ended;
      expect(plain.code).toBe(0);
      expect(plain.stdout).toContain('Nothing has been exported');
      expect(plain.stdout).not.toContain('\u001b');
    }
  },
);
