import { expect, test } from 'vitest';
import { monthNamed, slotsOf, spansOf, tally } from '../../src/page/calendar.ts';
import { strip } from '../../src/page/strip.ts';
import type { WindowRow } from '../../src/store/overview.ts';

const hourMs = 3_600_000;
const at = (hour: number) => new Date(Date.UTC(2026, 0, 1, hour));
const view = { from: at(0), to: at(48) };
const run = (id: number, from: number, state: WindowRow['state'] = 'done', length = 1): WindowRow => ({
  id,
  definition: 'd',
  from: at(from),
  to: at(from + length),
  state,
});

test('a due window that no run has is missing; what is not due, or not yet history, is nothing', () => {
  const spans = spansOf(view, [run(1, 3), run(2, 5, 'failed')], { from: at(2), to: at(7) }, hourMs);
  expect(spans.map(({ from, kind }) => `${from.getUTCHours()} ${kind}`)).toEqual([
    '2 missing',
    '3 done',
    '4 missing',
    '5 failed',
    '6 missing',
  ]);
  expect(tally(spans)).toBe('1 done, 3 missing, 1 failed');
  expect(spansOf(view, [], undefined, hourMs)).toEqual([]);
  expect(spansOf(view, [], { from: at(-100), to: at(-50) }, hourMs)).toEqual([]);
});

test('a slot shows the worst of what is in it, and a long window lies in all of its slots', () => {
  const spans = spansOf(
    view,
    [run(1, 0, 'done', 24), run(2, 24), run(3, 25, 'exporting')],
    undefined,
    hourMs,
  );
  const days = slotsOf(view, 24 * hourMs, spans);
  expect(days.map(({ kind }) => kind)).toEqual(['done', 'running']);
  const hours = slotsOf(view, hourMs, spans);
  expect(hours.slice(0, 24).every(({ kind, spans: [span] }) => kind === 'done' && span?.run === 1)).toBe(
    true,
  );
  expect(hours.slice(24, 27).map(({ kind }) => kind)).toEqual(['done', 'running', undefined]);
});

test('a strip draws neighbours of one kind as one, so that a month of hours stays small', () => {
  const runs = Array.from({ length: 48 }, (_, hour) => run(hour, hour, hour === 30 ? 'failed' : 'done'));
  const drawn = strip('d', view, hourMs, spansOf(view, runs, undefined, hourMs)).text;
  expect(drawn.match(/<rect/g)).toHaveLength(4);
  expect(drawn).toContain('d: 47 done, 1 failed');
  expect(drawn).toContain('<title>2026-01-02: 23 done, 1 failed</title>');
});

test.each([
  ['2026-02', '2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'],
  ['2026-12', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
])('%s is a month', (name, from, to) => {
  expect(monthNamed(name)).toEqual({ from: new Date(from), to: new Date(to) });
});

test.each(['2026-13', '2026-00', '0001-01', '2026-1', 'now', ''])('%j is none', (name) => {
  expect(monthNamed(name)).toBeUndefined();
});
