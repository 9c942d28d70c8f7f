import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UdmSyncError, describeError } from '../../src/errors.ts';
import { intoBatches, priorityOf } from '../../src/jobs/batches.ts';
import { afterDeaths } from '../../src/jobs/deaths.ts';
import { backoff, pollDelay } from '../../src/jobs/delays.ts';
import { assessSet } from '../../src/jobs/file-set.ts';
import { carriesMarker, newMarker } from '../../src/jobs/marker.ts';
import { isSurroundings } from '../../src/jobs/settle.ts';
import { crc32Text } from '../../src/sinks/checksum.ts';

describe('delays', () => {
  const bounds = { minMs: 1000, maxMs: 60_000 };
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('backoff grows and stays in its bounds', () => {
    expect([1, 2, 3, 7, 100].map((failures) => backoff(failures, bounds, 0.999999).toFixed(0))).toEqual([
      '1000',
      '2000',
      '4000',
      '60000',
      '60000',
    ]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), random, (failures, r) => {
        const delay = backoff(failures, bounds, r);
        expect(delay).toBeGreaterThanOrEqual(bounds.minMs / 2);
        expect(delay).toBeLessThanOrEqual(bounds.maxMs);
      }),
    );
  });

  test('polling adapts to what seems to remain, within its bounds', () => {
    // Half done after 80 s: 80 s remain, so look again after about 20 s.
    expect(pollDelay(80_000, 50, bounds, 0.5)).toBe(20_000);
    expect(pollDelay(80_000, 99, bounds, 0.5)).toBe(1000);
    expect(pollDelay(80_000, undefined, bounds, 0.5)).toBe(8000);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.option(fc.integer({ min: 0, max: 100 })),
        random,
        (elapsed, progress, r) => {
          const delay = pollDelay(elapsed, progress ?? undefined, bounds, r);
          expect(delay).toBeGreaterThanOrEqual(bounds.minMs);
          expect(delay).toBeLessThanOrEqual(bounds.maxMs);
        },
      ),
    );
  });
});

test.each([
  ['a first attempt', 0, 0, 1, 'copy'],
  ['a takeover', 0, 2, 50, 'copy'],
  ['a batch that was with three dead workers', 0, 3, 50, 'apart'],
  ['one file that was with three', 0, 3, 1, 'apart'],
  ['the same again, queued anew', 3, 0, 1, 'copy'],
  ['one file that was with nine', 6, 2, 1, 'copy'],
  ['one file that was with ten', 9, 1, 1, 'dead'],
  ['a batch is never given up', 0, 50, 2, 'apart'],
] as const)('%s: after %i and %i deaths, %i files: %s', (_what, before, now, files, expected) => {
  expect(afterDeaths(before, now, files)).toEqual({
    verdict: expected,
    deaths: before + now,
    carried: files === 1 ? before + now : 0,
  });
});

describe('a split set', () => {
  test.each([
    [[], true],
    [['contacts.zip.smime'], true],
    [['a-part-0001-of-0002.zip.smime', 'a-part-0002-of-0002.zip.smime'], true],
    [['a-part-0001-of-0002.zip.smime'], false],
    [['a_1of3.zip', 'a_3of3.zip'], false],
    [['a_0of2.zip', 'a_1of2.zip'], true],
    [['a-part-1.zip', 'a-part-2.zip'], true],
    [['a-part-1.zip', 'a-part-3.zip'], false],
    [['report-part-7.zip'], true],
    [['a-part-1-of-2.zip', 'a-part-2-of-2.zip', 'b-part-1-of-2.zip'], false],
    [['2026-01-01.zip', '2026-01-03.zip'], true],
  ])('%j is complete: %s', (names, complete) => {
    expect(assessSet(names).complete).toBe(complete);
  });

  test('says which part is missing', () => {
    expect(assessSet(['a-part-1-of-3.zip', 'a-part-3-of-3.zip'])).toMatchObject({
      missing: expect.stringContaining('part 2 of 3') as string,
    });
  });

  test('of any size is complete with all its parts, and incomplete without any one of them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), fc.boolean(), (total, without, zeroBased) => {
        const first = zeroBased ? 0 : 1;
        const names = Array.from(
          { length: total },
          (_, index) => `x-20260101-part-${index + first}-of-${total}.zip.smime`,
        );
        expect(assessSet(names).complete).toBe(true);
        expect(assessSet(names.filter((_, index) => index !== without % total)).complete).toBe(false);
      }),
    );
  });
});

describe('batches', () => {
  test('hold every file once, small ones together, large ones alone', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 100_000_000 }))), (sizes) => {
        const files = sizes.map((size, id) => ({ id, size: size ?? undefined }));
        const batches = intoBatches(files);
        expect(batches.flatMap(({ fileIds }) => fileIds).sort((a, b) => a - b)).toEqual(
          files.map((file) => file.id),
        );
        for (const { fileIds, small } of batches) {
          const bytes = fileIds.reduce((sum, id) => sum + (sizes[id] ?? Infinity), 0);
          if (small) expect(bytes).toBeLessThanOrEqual(64 * 1024 * 1024);
          else expect(fileIds).toHaveLength(1);
          expect(small).toBe(fileIds.every((id) => (sizes[id] ?? Infinity) <= 8 * 1024 * 1024));
        }
      }),
    );
    expect(
      intoBatches(Array.from({ length: 101 }, (_, id) => ({ id, size: 10 }))).map(
        ({ fileIds }) => fileIds.length,
      ),
    ).toEqual([100, 1]);
  });

  test('what expires sooner comes first, whenever it is queued', () => {
    const date = fc.date({ min: new Date('2020-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });
    fc.assert(
      fc.property(date, date, (a, b) => {
        const [sooner, later] = a < b ? [a, b] : [b, a];
        expect(priorityOf(sooner)).toBeGreaterThanOrEqual(priorityOf(later));
        if (later.getTime() - sooner.getTime() >= 3_600_000)
          expect(priorityOf(sooner)).toBeGreaterThan(priorityOf(later));
        // The queue keeps it in a column of 32 bits.
        expect(Math.abs(priorityOf(a))).toBeLessThan(2 ** 31);
      }),
    );
  });
});

test('a marker is found as a whole word only', () => {
  const marker = newMarker();
  expect(newMarker()).not.toBe(marker);
  expect(carriesMarker(`udm-sync contacts 2026-01-01 ${marker}`, marker)).toBe(true);
  expect(carriesMarker(`copy of x${marker}`, marker)).toBe(false);
  expect(carriesMarker(undefined, marker)).toBe(false);
});

test('failures of the surroundings are told from failures of the work', () => {
  const is = (code: string) => isSurroundings(new UdmSyncError(code, 'x'));
  expect(
    ['ERR_UDM_UNAVAILABLE', 'ERR_UDM_API_KEY', 'ERR_SINK_ACCESS', 'ERR_SINK_FULL', 'ERR_DATABASE'].map(is),
  ).not.toContain(false);
  expect(
    [
      'ERR_UDM_BAD_REQUEST',
      'ERR_UDM_ANSWER',
      'ERR_BODY_LENGTH',
      'ERR_DOWNLOAD_TRUNCATED',
      'ERR_VERIFY_MISMATCH',
    ].map(is),
  ).not.toContain(true);
  expect(isSurroundings(new TypeError('a bug'))).toBe(false);
});

test('a CRC-32 is written with eight digits', () => {
  expect(crc32Text(0)).toBe('00000000');
  expect(crc32Text(0xdeadbeef)).toBe('deadbeef');
});

test.each([
  [new Error('said'), 'said'],
  [new AggregateError([new Error('the first')]), 'the first'],
  // What pg-boss emits.
  [{ message: 'copied', code: 'X' }, 'copied'],
  [{ message: '', code: 'ECONNREFUSED' }, 'ECONNREFUSED'],
  ['a word', 'a word'],
])('%o is described as %j', (error, words) => {
  expect(describeError(error)).toBe(words);
});
