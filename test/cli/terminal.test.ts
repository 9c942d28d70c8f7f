import { spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { definition, definitionIn, makePlace } from './place.ts';
import type { Place } from './place.ts';
import { environment, follow, mainFile } from './processes.ts';

let place: Place;
beforeAll(async () => {
  place = await makePlace({
    filesFor: ({ id, title }) => [
      { name: `${id}.zip.smime`, size: definitionIn(title) === 'contacts' ? 64 * 1024 * 1024 : 1000 },
    ],
  });
});
afterAll(() => place[Symbol.asyncDispose]());

// util-linux' script runs a command on a terminal of its own; that of BSD and macOS takes other flags.
const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

/** Runs `udm-sync …` on a terminal; both streams arrive as one. */
async function onTerminal(args: string, env: Readonly<Record<string, string>> = {}) {
  const command = [process.execPath, mainFile, ...args.split(' ')].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: place.folder,
    env: environment({ TERM: 'xterm', SHELL: '/bin/sh', ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return follow(child, args).ended;
}

const ansi = '\x1b[';

test.skipIf(!hasScript)('on a terminal, run shows bars, and lines of what happened', async () => {
  const ended = await onTerminal('run');
  expect(ended.code, ended.stdout).toBe(0);
  expect(ended.stdout).toMatch(/[█░]+ \d+% [\d.]+ MiB \S+\.zip\.smime/);
  expect(ended.stdout).toMatch(/contacts \S+Z: \S+\.zip\.smime stored and verified, 64\.0 MiB/);
  expect(ended.stdout).toMatch(/contacts \S+Z: deleted 1 verified file upstream/);
  expect(ended.stdout).toContain('1 window: 1 done, 0 failed, 0 cancelled, 0 left.');
  expect(ended.stdout).not.toContain('"level"');
});

test.skipIf(!hasScript)(
  'on a terminal, logs are for people, in colour unless NO_COLOR says otherwise',
  async () => {
    await place.configure({ definitions: { plain: definition(), colourful: definition() } });
    const plain = await onTerminal('run plain --json', { NO_COLOR: '1' });
    expect(plain.stdout).toMatch(/INFO.*: run planned/);
    expect(plain.stdout).not.toContain(ansi);
    const colourful = await onTerminal('run colourful --json');
    expect(colourful.stdout).toMatch(/INFO.*: .*run planned/);
    expect(colourful.stdout).toContain(ansi);
  },
);

test('elsewhere nothing is drawn: the log is JSON, line by line', async () => {
  await place.configure({ definitions: { piped: definition() } });
  const ended = await place.run('run');
  const lines = ended.stdout.trimEnd().split('\n');
  expect(lines.pop()).toBe('1 window: 1 done, 0 failed, 0 cancelled, 0 left.');
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: 'info' });
  expect(ended.stdout).not.toContain(ansi);
});

test('a reader that stops reading is no failure', async () => {
  const command = `'${process.execPath}' '${mainFile}' config schema; echo "exit $?" >&2`;
  const child = spawn('/bin/sh', ['-c', `{ ${command}; } | true`], {
    cwd: place.folder,
    env: environment({}),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(await follow(child, 'config schema').ended).toMatchObject({ stderr: 'exit 0\n' });
});

test.each([
  ['thrown by a command', `process.stdout.write = () => { throw new Error('the disk is on fire'); };`],
  ['thrown from nowhere', `setTimeout(() => { throw new Error('the disk is on fire'); }, 0);`],
  ['rejected by nobody', `Promise.reject(new Error('the disk is on fire'));`],
])('what nobody has foreseen begins with one readable line: %s', async (_, trouble) => {
  await writeFile(join(place.folder, 'trouble.mjs'), trouble);
  const ended = await place.run('config schema', {
    NODE_OPTIONS: `--import ${join(place.folder, 'trouble.mjs')}`,
  });
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(
    /^udm-sync: the disk is on fire\. This was not foreseen; please report it with what follows\.\nError: the disk is on fire\n {4}at /,
  );
});
