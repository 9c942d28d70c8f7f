import cron from 'node-cron';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { cronProblem, nextRunAfter, nextRuns, timeZoneProblem } from '../../src/config/cron.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-03-28T12:00:00Z') }));
afterEach(() => void vi.useRealTimers());

const iso = (dates: readonly Date[]) => dates.map((date) => date.toISOString());

test('the next runs, in the given zone', () => {
  expect(iso(nextRuns('5 * * * *', 'UTC', 2))).toEqual([
    '2026-03-28T12:05:00.000Z',
    '2026-03-28T13:05:00.000Z',
  ]);
  expect(iso(nextRuns('0 6 * * *', 'Europe/Berlin', 2))).toEqual([
    '2026-03-29T04:00:00.000Z',
    '2026-03-30T04:00:00.000Z',
  ]);
  expect(iso(nextRuns('0 0 29 2 *', 'UTC', 1))).toEqual(['2028-02-29T00:00:00.000Z']);
});

test.each([
  ['right', 0],
  ['ahead by an hour', 3_600_000],
  ['behind by an hour', -3_600_000],
  ['behind by years', -1.7e12],
])('the next run after an instant, with a clock that is %s', (_, offMs) => {
  const instant = new Date('2026-03-28T12:00:00Z');
  vi.setSystemTime(instant.getTime() + offMs);
  const next = (cron: string, zone = 'UTC') => nextRunAfter(cron, zone, instant).toISOString();
  const farOff = Math.abs(offMs) > 1e9;
  expect(next('* * * * *')).toBe('2026-03-28T12:01:00.000Z');
  expect(next('* * * * * *')).toBe('2026-03-28T12:00:01.000Z');
  if (farOff) return;
  expect(next('30 * * * *')).toBe('2026-03-28T12:30:00.000Z');
  expect(next('0 * * * *')).toBe('2026-03-28T13:00:00.000Z');
  expect(next('0 6 * * *', 'Europe/Berlin')).toBe('2026-03-29T04:00:00.000Z');
});

test('nothing stays in the registry of node-cron', () => {
  const before = cron.getTasks().size;
  nextRuns('5 * * * *', 'UTC', 1);
  nextRunAfter('5 * * * *', 'UTC', new Date());
  cronProblem('0 0 29 2 1#1');
  expect(cron.getTasks().size).toBe(before);
});

test.each(['5 * * * *', '0 5 * * * *', '@hourly', '0 0 L * *', '0 0 29 2 *'])(
  '%s is a schedule',
  (expression) => expect(cronProblem(expression)).toBeUndefined(),
);

test.each([
  ['* * * *', '5 fields'],
  ['* * * * * * *', '5 fields'],
  ['hourly', '5 fields'],
  ['99 * * * *', 'minute'],
  ['*/0 * * * *', 'minute'],
  ['0 0 30 2 *', 'impossible day'],
  ['0 0 29 2 1#1', 'never fires'],
])('%s is none', (expression, message) => expect(cronProblem(expression)).toContain(message));

test('time zones', () => {
  expect(timeZoneProblem('America/New_York')).toBeUndefined();
  expect(timeZoneProblem('Europe/Berln')).toContain('Europe/Berlin');
  expect(timeZoneProblem('nowhere')).toContain('IANA');
});
