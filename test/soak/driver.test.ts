import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesOf, generate, troubleMs } from './scenario.ts';
import type { Scenario } from './scenario.ts';
import { keepOnly, shrink } from './shrink.ts';
import { asMarkdown, summarise, withFigures } from './summary.ts';

const many = Array.from({ length: 300 }, (_, n) => generate(`many/${n}`));

describe('scenarios', () => {
  test('follow from their seeds', () => {
    expect(generate('a')).toEqual(generate('a'));
    expect(generate('b')).not.toEqual(generate('a'));
  });

  test('contain everything that can go wrong, in order of time', () => {
    const kinds = new Set(
      many.flatMap(({ actions }) =>
        actions.map((action) =>
          action.kind === 'upstream-fault'
            ? `upstream ${action.fault.kind}`
            : action.kind === 'operator'
              ? `operator ${action.command}`
              : action.kind === 'expiry'
                ? 'expiry'
                : action.kind === 'network'
                  ? `${action.border} ${action.harm}`
                  : `${action.kind} ${action.harm}`,
        ),
      ),
    );
    for (const border of ['postgres', 's3', 'api', 'origin'])
      for (const harm of ['rst', 'fin', 'freeze', 'blackhole', 'refuse', 'slow', 'mischief'])
        expect(kinds).toContain(`${border} ${harm}`);
    for (const kind of [
      'process kill',
      'process term',
      'process stop',
      'operator cancel',
      'operator retry',
      'expiry',
    ])
      expect(kinds).toContain(kind);
    for (const kind of [
      'status',
      'html',
      'lost-answer',
      'token-revoked',
      'wrong-json',
      'truncate',
      'job-fails',
    ])
      expect(kinds).toContain(`upstream ${kind}`);
    for (const { actions } of many) {
      const times = actions.map(({ atMs }) => atMs);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(Math.max(0, ...times)).toBeLessThanOrEqual(troubleMs);
    }
    expect(new Set(many.map(({ workers }) => workers))).toEqual(new Set([1, 2, 3]));
    expect(new Set(many.map(({ sink }) => sink))).toEqual(new Set(['bucket', 'folder']));
    expect(new Set(many.flatMap(({ plans }) => plans.map((plan) => plan.delete)))).toEqual(
      new Set(['files', 'files-and-job', 'nothing']),
    );
  });

  test('have files from nothing to several parts', () => {
    const job = { id: 'j', tenant: 't', title: '', source: '', type: '', fileSplitSize: undefined, run: 0 };
    const sizes = many.flatMap((scenario) =>
      scenario.plans.flatMap(({ name }) => filesOf(scenario, name, new Date(0), job).map(({ size }) => size)),
    );
    expect(Math.min(...sizes)).toBe(0);
    expect(Math.max(...sizes)).toBeGreaterThan(10 * 1024 * 1024);
  });
});

test('shrinking leaves the actions that are needed', async () => {
  const scenario = many.find(({ actions }) => actions.length >= 8);
  if (!scenario) throw new Error('no scenario is that long');
  const needed = [scenario.actions[2], scenario.actions[5]];
  const fails = (smaller: Scenario) =>
    Promise.resolve(needed.every((action) => smaller.actions.some((each) => each === action)));
  const kept = await shrink(scenario, fails);
  expect(kept).toEqual([2, 5]);
  expect(keepOnly(scenario, kept).actions).toEqual(needed);
});

test('the summary counts, and goes between the markers of a document', () => {
  const scenario = generate('s/1');
  const outcome = { scenario, runs: 2, files: 3, bytes: 1024 * 1024, tookMs: 5, said: '' };
  const summary = summarise('s', new Date(0), 'ceph', 90_000, [
    { ...outcome, violations: [], faults: { SIGKILL: 2, 's3 rst': 1 } },
    { ...outcome, violations: ['files: gone'], faults: { SIGKILL: 1 } },
  ]);
  expect(summary).toMatchObject({
    scenarios: 2,
    minutes: 1.5,
    signals: { SIGKILL: 3 },
    faults: { 's3 rst': 1 },
    runs: 4,
    files: 6,
    violations: [{ scenario: 's/1', what: 'files: gone', repeat: 'npm run soak -- --scenario s/1' }],
  });
  const text = withFigures('a\n<!-- soak:begin -->\nold\n<!-- soak:end -->\nb', asMarkdown(summary));
  expect(text).toMatch(
    /^a\n<!-- soak:begin -->\n\nLast long run: 1970-01-01[^]*\| violations \| 1 \|\n\n<!-- soak:end -->\nb$/,
  );
  expect(text).not.toContain('old');
  expect(() => withFigures('no markers', 'x')).toThrow('<!-- soak:begin -->');
});

describe('the command', () => {
  const soak = (...args: string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      execFile(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
    });

  test('explains itself', async () => {
    const { code, stdout } = await soak('--help');
    expect(code).toBe(0);
    expect(stdout).toContain('Example: npm run soak -- --minutes 15');
  });

  test.each([
    { args: ['--minutes', 'ten'], says: '--minutes must be a number from 0.1 to 10000, not "ten"' },
    { args: ['--s3', 'minio'], says: '--s3 must be auto, ceph or fauxqs, not "minio"' },
    { args: ['--keep', '1'], says: '--keep goes with --scenario' },
    { args: ['--scenario', 'x', '--keep', 'a'], says: '--keep must look like 0,3 or none' },
    { args: ['--what'], says: '--what' },
  ])('refuses $args', async ({ args, says }) => {
    const { code, stderr } = await soak(...args);
    expect(stderr).toContain(says);
    expect(code).toBe(2);
  });
});
