import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { plants, plantsOfPeople, rulesOf } from './plants.ts';
import { rules } from './rules.ts';

// The plants themselves are found in the facts of real syncs: test/e2e/workers.test.ts and adopt.test.ts.
test('every rule has a plant, and every plant provokes a rule', () => {
  expect([...rulesOf([...plants, ...plantsOfPeople])].sort()).toEqual(Object.keys(rules).sort());
});

function auditor(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const main = join(import.meta.dirname, 'main.ts');
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

describe('the command', () => {
  test('explains itself', async () => {
    const { code, stdout } = await auditor('--help');
    expect(code).toBe(0);
    expect(stdout).toContain('Example: node test/auditor/main.ts');
  });

  test.each([
    { args: ['--bucket', 'b', '--expect', 'e'], says: '--log is required' },
    { args: ['--log', 'l', '--expect', 'e'], says: 'Either --bucket or --folder' },
    { args: ['--log', 'l', '--expect', 'e', '--bucket', 'b', '--folder', 'f'], says: 'and not both' },
    { args: ['--unknown'], says: '--unknown' },
  ])('refuses wrong flags with exit code 2: $args', async ({ args, says }) => {
    const { code, stderr } = await auditor(...args);
    expect(stderr).toContain(says);
    expect(code).toBe(2);
  });

  test('a log that is not there is an exit code of its own making, not a clean audit', async () => {
    const { code, stderr } = await auditor('--log', 'no-such-file', '--expect', 'none', '--folder', '.');
    expect(stderr).toContain('could not look');
    expect(code).toBe(1);
  });
});
