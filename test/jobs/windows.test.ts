import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cut, dueWindows, floorToGrid, horizon, subtract } from '../../src/jobs/windows.ts';
import type { Window } from '../../src/jobs/windows.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const at = (text: string) => new Date(text);
const show = (windows: readonly Window[]) =>
  windows.map(({ from, to }) => `${from.toISOString().slice(0, 16)}/${to.toISOString().slice(0, 16)}`);

describe('the window grid', () => {
  test('hours and days begin on UTC boundaries, weeks on Monday', () => {
    expect(floorToGrid(at('2026-03-29T01:59:59Z'), hour)).toEqual(at('2026-03-29T01:00:00Z'));
    expect(floorToGrid(at('2026-03-29T23:00:00Z'), day)).toEqual(at('2026-03-29T00:00:00Z'));
    expect(floorToGrid(at('2026-11-22T12:00:00Z'), 7 * day)).toEqual(at('2026-11-16T00:00:00Z'));
    expect(floorToGrid(at('1969-12-31T23:30:00Z'), hour)).toEqual(at('1969-12-31T23:00:00Z'));
  });

  test('a window is complete only when its lag has passed too', () => {
    expect(horizon(at('2026-01-01T10:14:59Z'), hour, 15 * minute)).toEqual(at('2026-01-01T09:00:00Z'));
    expect(horizon(at('2026-01-01T10:15:00Z'), hour, 15 * minute)).toEqual(at('2026-01-01T10:00:00Z'));
  });
});

describe('due windows', () => {
  const base = { lengthMs: hour, lagMs: 0, start: undefined, scheduled: undefined, covered: [], limit: 100 };

  test('without a start, history begins with the newest complete window', () => {
    expect(show(dueWindows({ ...base, now: at('2026-01-01T10:30:00Z') }))).toEqual([
      '2026-01-01T09:00/2026-01-01T10:00',
    ]);
  });

  test('missed ticks lose nothing: all since the last planned window are due, oldest first, up to the limit', () => {
    const scheduled = { from: at('2026-01-01T00:00:00Z'), to: at('2026-01-01T05:00:00Z') };
    expect(show(dueWindows({ ...base, scheduled, limit: 2, now: at('2026-01-01T10:30:00Z') }))).toEqual([
      '2026-01-01T05:00/2026-01-01T06:00',
      '2026-01-01T06:00/2026-01-01T07:00',
    ]);
  });

  test('a start moved into the past is filled downwards, so that the planned stretch never has a gap', () => {
    const scheduled = { from: at('2026-01-01T05:00:00Z'), to: at('2026-01-01T10:00:00Z') };
    const due = dueWindows({
      ...base,
      scheduled,
      start: at('2026-01-01T00:00:00Z'),
      limit: 2,
      now: at('2026-01-01T10:30:00Z'),
    });
    expect(show(due)).toEqual(['2026-01-01T04:00/2026-01-01T05:00', '2026-01-01T03:00/2026-01-01T04:00']);
  });

  test('a start between two grid lines begins with the whole window it falls into', () => {
    expect(
      show(dueWindows({ ...base, start: at('2026-01-01T08:20:00Z'), now: at('2026-01-01T10:00:00Z') })),
    ).toEqual(['2026-01-01T08:00/2026-01-01T09:00', '2026-01-01T09:00/2026-01-01T10:00']);
  });

  test('daylight saving neither skips nor doubles a window', () => {
    const start = at('2026-03-28T00:00:00Z');
    const due = dueWindows({ ...base, start, now: at('2026-03-30T00:00:00Z') });
    expect(due).toHaveLength(48);
    expect(new Set(due.map(({ from }) => from.getTime())).size).toBe(48);
  });

  test('planning again and again covers exactly [start, horizon), once, whatever the limits and pauses', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(15 * minute, hour, 4 * hour, day),
        fc.integer({ min: 0, max: 3 * hour }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 40 * hour }), fc.integer({ min: 1, max: 7 })), {
          minLength: 1,
          maxLength: 30,
        }),
        fc.integer({ min: 0, max: 100 * hour }),
        fc.array(fc.tuple(fc.integer({ min: -100, max: 100 }), fc.integer({ min: 1, max: 30 })), {
          maxLength: 3,
        }),
        (lengthMs, lagMs, ticks, startBackMs, backfilled) => {
          const begin = at('2026-03-27T00:00:00Z').getTime();
          const start = new Date(begin - startBackMs);
          let now = begin;
          let scheduled: Window | undefined;
          const planned: Window[] = [];
          // What a backfill did: some stretch of whole windows, anywhere.
          const covered = backfilled.map(([hours, length]) => {
            const from = floorToGrid(new Date(begin + hours * hour), lengthMs);
            return { from, to: new Date(from.getTime() + length * lengthMs) };
          });
          const tick = (limit: number, from: Date | undefined) => {
            const due = dueWindows({
              now: new Date(now),
              lengthMs,
              lagMs,
              start: from,
              scheduled,
              covered,
              limit,
            });
            expect(due.length).toBeLessThanOrEqual(limit);
            planned.push(...due);
            for (const window of due)
              scheduled = scheduled
                ? {
                    from: window.from < scheduled.from ? window.from : scheduled.from,
                    to: window.to > scheduled.to ? window.to : scheduled.to,
                  }
                : window;
            return due.length;
          };
          // First without a start, as a new deployment would; then history is asked for as well.
          tick(1, undefined);
          for (const [pause, limit] of ticks) {
            now += pause;
            tick(limit, start);
          }
          while (tick(5, start) > 0);
          const end = horizon(new Date(now), lengthMs, lagMs);
          const inside = (instant: number) => (window: Window) =>
            window.from.getTime() <= instant && instant < window.to.getTime();
          const from = floorToGrid(start, lengthMs).getTime();
          for (let instant = from; instant < end.getTime(); instant += lengthMs) {
            const times = planned.filter(inside(instant)).length;
            expect(times).toBe(covered.some(inside(instant)) ? 0 : 1);
          }
          expect(planned.every((window) => window.to.getTime() - window.from.getTime() === lengthMs)).toBe(
            true,
          );
          expect(planned.every((window) => window.to <= end)).toBe(true);
        },
      ),
    );
  });
});

describe('what is not covered', () => {
  test('subtract and cover are complements', () => {
    const window = fc
      .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 60 }))
      .map(([from, length]) => ({ from: new Date(from), to: new Date(from + length) }));
    fc.assert(
      fc.property(window, fc.array(window, { maxLength: 12 }), (range, covered) => {
        const gaps = subtract(range, covered);
        for (let instant = range.from.getTime(); instant < range.to.getTime(); instant += 1) {
          const inside = ({ from, to }: Window) => from.getTime() <= instant && instant < to.getTime();
          expect(gaps.filter(inside).length).toBe(covered.some(inside) ? 0 : 1);
        }
        expect(gaps.every(({ from, to }) => from < to)).toBe(true);
      }),
    );
  });

  test('a range is cut at the grid', () => {
    expect(show(cut({ from: at('2026-01-01T00:20:00Z'), to: at('2026-01-01T02:10:00Z') }, hour))).toEqual([
      '2026-01-01T00:20/2026-01-01T01:00',
      '2026-01-01T01:00/2026-01-01T02:00',
      '2026-01-01T02:00/2026-01-01T02:10',
    ]);
  });
});
