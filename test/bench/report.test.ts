import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { caseNames } from '../../bench/options.ts';
import { plotOverTime } from '../../bench/plot.ts';
import { foldProfile, topFunctions } from '../../bench/profile/cpu-profile.ts';
import { flameGraph } from '../../bench/profile/flame-graph.ts';
import { replaceSection } from '../../bench/report.ts';

test('docs/benchmarks.md has a place for every case and destination, and only that is replaced', async () => {
  const document = await readFile(join(import.meta.dirname, '../../docs/benchmarks.md'), 'utf8');
  for (const name of caseNames)
    for (const destination of ['null', 'ceph']) {
      const id = `${name}-${destination}`;
      const once = replaceSection(document, id, 'FIRST');
      const twice = replaceSection(once, id, 'SECOND');
      expect(twice).toBe(once.replace('FIRST', 'SECOND'));
      expect(twice.split('<!-- begin').length).toBe(document.split('<!-- begin').length);
    }
  expect(() => replaceSection(document, 'no-such-case', '')).toThrow('no place for no-such-case');
});

const frame = (functionName: string, url = '', lineNumber = 0) => ({ functionName, url, lineNumber });
const profile = JSON.stringify({
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 3] },
    { id: 2, callFrame: frame('(idle)') },
    { id: 3, callFrame: frame('main', `file://${import.meta.filename}`, 9), children: [4, 5] },
    { id: 4, callFrame: frame('send<T>', 'file:///elsewhere/node_modules/@scope/name/dist/index.js', 3) },
    { id: 5, callFrame: frame('crc32') },
  ],
  samples: [2, 3, 4, 5, 4],
  timeDeltas: [1000, 100, 200, 300, 400],
});

test('a CPU profile is folded: idle time is left out, places name nothing of the machine', () => {
  const tree = foldProfile(profile);
  expect(tree.total).toBe(1000);
  expect(topFunctions(tree, 2)).toEqual([
    { name: 'send<T>', place: '@scope/name', self: 600 },
    { name: 'crc32', place: '', self: 300 },
  ]);
  const svg = flameGraph(tree, 'A & B');
  expect(svg).toContain('A &amp; B');
  expect(svg).toContain('main (test/bench/report.test.ts:10): 100.0 %, itself 10.0 %');
  expect(svg).toContain('send&lt;T&gt; (@scope/name): 60.0 %, itself 60.0 %');
  expect(svg).not.toContain('elsewhere');
});

test('a plot shows the height of each stretch of time', () => {
  const lines = plotOverTime(
    [
      { at: 1, value: 50 },
      { at: 10, value: 100 },
    ],
    { unit: 'MiB', time: 's' },
  ).split('\n');
  expect(lines[0]).toMatch(/^100 MiB \| +█$/);
  expect(lines[7]).toMatch(/^ +0 \| +█ +█$/);
  expect(lines[8]).toMatch(/-+ 10 s$/);
});
