import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { completionScript, shells } from '../../src/cli/completion.ts';
import { buildProgram } from '../../src/cli/program.ts';

const program = buildProgram(() => undefined);
const bash = completionScript('bash', program);

/** What bash offers for a line that ends where the cursor is. */
function offered(line: string): string[] {
  const words = line.split(' ');
  const script = `${bash}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
_udm_sync; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.trim().split('\n');
}

test('bash completes commands, their options, and files', () => {
  expect(offered('udm-sync ')).toEqual(expect.arrayContaining(['worker', 'report', 'cipher', '--config']));
  expect(offered('udm-sync run')).toEqual(['run', 'runs', 'run-history']);
  expect(offered('udm-sync report --f')).toEqual(['--from', '--format']);
  expect(offered('udm-sync cipher u')).toEqual(['upload']);
  // The value of an option is no command.
  expect(offered('udm-sync -c config cipher s')).toEqual(['show']);
  expect(offered('udm-sync --config completion.t')).toEqual(['completion.test.ts']);
  expect(offered('udm-sync cipher upload completion.t')).toEqual(['completion.test.ts']);
});

const fish = spawnSync('fish', ['--version']).error ? undefined : completionScript('fish', program);

test.skipIf(fish === undefined)('fish completes commands and options', () => {
  const completed = (line: string) => {
    const { status, stdout, stderr } = spawnSync(
      'fish',
      ['--no-config', '-c', `${fish ?? ''}\ncomplete -C '${line}'`],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout
      .trim()
      .split('\n')
      .map((offer) => offer.split('\t')[0]);
  };
  expect(completed('udm-sync ')).toEqual(expect.arrayContaining(['worker', 'report', 'cipher']));
  expect(completed('udm-sync run')).toEqual(expect.arrayContaining(['run', 'runs', 'run-history']));
  expect(completed('udm-sync report --f')).toEqual(['--format', '--from']);
  expect(completed('udm-sync cipher u')).toEqual(['upload']);
});

test.each(shells)('%s knows every command and every option, and reads the script', async (shell) => {
  const script = completionScript(shell, program);
  const below = program.commands.flatMap((command) => [command, ...command.commands]);
  for (const command of below) {
    expect(script).toContain(command.name());
    for (const { long } of command.options)
      expect(script, command.name()).toContain(shell === 'fish' ? `-l ${long?.slice(2)}` : long);
  }
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-completion-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, shell);
  await writeFile(file, script);
  const checked = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
  // Not every machine has every shell.
  if (!checked.error) expect(checked).toMatchObject({ status: 0, stderr: '' });
});
