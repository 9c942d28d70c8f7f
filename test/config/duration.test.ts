import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';
import { parseSize } from '../../src/config/size.ts';

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['15m', 900_000],
    ['1h', 3_600_000],
    ['1 d', 86_400_000],
    ['1w', 604_800_000],
    ['0', 0],
    [0, 0],
  ])('%s', (text, expected) => expect(parseDuration(text)).toBe(expected));

  test.each(['', '30', 30, '1M', '1.5h', '-1s', '1h30m', '1y', 's', null, undefined, '1e3s', '30 seconds'])(
    '%s is refused',
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );

  test('a formatted duration reads back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 11 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
    expect([0, 999, 5_400_000, 604_800_000].map(formatDuration)).toEqual(['0s', '999ms', '90m', '1w']);
  });
});

describe('sizes', () => {
  test.each([
    ['8MiB', 8_388_608],
    [8_388_608, 8_388_608],
    ['8388608', 8_388_608],
    ['5 GB', 5_000_000_000],
    ['1KiB', 1024],
  ])('%s', (text, expected) => expect(parseSize(text)).toBe(expected));

  test.each(['8Mb', '8 M', '-1', -1, 1.5, '', null, '999999999999GiB'])('%s is refused', (text) =>
    expect(parseSize(text)).toBeUndefined(),
  );
});
