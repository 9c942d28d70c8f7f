import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { start } from './processes.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udm-sync-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (args: string) => start(args === '' ? [] : args.split(' '), { cwd: folder }).ended;

const commands = [
  'worker',
  'run',
  'backfill',
  'status',
  'runs',
  'run-history',
  'retry',
  'cancel',
  'report',
  'doctor',
  'verify',
  'sweep',
  'notify-test',
  'cipher',
  'cipher show',
  'cipher upload',
  'prune',
  'migrate',
  'config',
  'config print',
  'config schema',
  'health',
  'completion',
];

test('every command is in the list, its help has an example, and docs/cli.md has each of its options', async () => {
  const list = await run('--help');
  expect(list.code).toBe(0);
  expect(list.stdout).toContain('Exit codes: 0 done, 1 failed, 2 usage');
  const listed = [...list.stdout.matchAll(/^ {2}([a-z-]+)( \[options\]| <| \[| {2})/gm)].map(
    ([, name]) => name,
  );
  expect(listed.filter((name) => name !== 'help')).toEqual(commands.filter((name) => !name.includes(' ')));

  const manual = await readFile(join(import.meta.dirname, '../../docs/cli.md'), 'utf8');
  await Promise.all(
    commands.map(async (name) => {
      const help = await run(`${name} --help`);
      expect({ ...help, stdout: '' }).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(help.stdout).toMatch(new RegExp(`\\nExample:\\n  udm-sync ${name}`));
      const section = manual.split(/^## /m).find((text) => text.startsWith(`${name.split(' ')[0]}\n`)) ?? '';
      for (const [option] of help.stdout.matchAll(/(?<=^ {2})--[a-z-]+/gm))
        expect(section, `docs/cli.md on ${name}`).toContain(`\`${option}`);
    }),
  );
});

test('what the command line does not know is told in one clear message, with exit code 2', async () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['rnu', "unknown command 'rnu'\n(Did you mean run?)"],
    ['frobnicate', "unknown command 'frobnicate'"],
    ['cipher burn', "unknown command 'burn'"],
    ['run --tiemout 3s', "unknown option '--tiemout'\n(Did you mean --timeout?)"],
    ['run --timeout', "option '--timeout <duration>' argument missing"],
    ['status now', "too many arguments for 'status'. Expected 0 arguments but got 1: now."],
    ['retry', "missing required argument 'run'"],
    ['backfill contacts --to 2026-01-01', "required option '--from <instant>' not specified"],
    ['cipher upload', "missing required argument 'certificate'"],
  ];
  await Promise.all(
    wrong.map(async ([args, message]) =>
      expect(await run(args)).toEqual({
        code: 2,
        stdout: '',
        stderr: `udm-sync: ${message}\n(add --help for help)\n`,
      }),
    ),
  );
  const nothing = await run('');
  expect(nothing).toMatchObject({ code: 2, stdout: '' });
  expect(nothing.stderr).toContain('Usage: udm-sync [options] [command]');
});

test('the version is that of the package', async () => {
  const manifest = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')));
  expect(await run('--version')).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' });
});
