import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs, parseRetryAfter } from '../../src/udm/backoff.ts';
import { parseJson } from '../../src/udm/json.ts';
import { encodeQuery, fillRoute, isPathSafe } from '../../src/udm/path.ts';
import { createRateLimiter } from '../../src/udm/rate-limit.ts';
import { unwrap } from '../../src/udm/shapes.ts';
import { classifyStatus } from '../../src/udm/status.ts';
import { asDate } from '../../src/udm/values.ts';

describe('status words', () => {
  test.each([
    ['In Progress', 'running'],
    ['IN_PROGRESS', 'running'],
    ['InProgress', 'running'],
    ['in-progress', 'running'],
    ['Queued', 'waiting'],
    ['COMPLETED', 'completed'],
    ['Done', 'completed'],
    ['Failed', 'failed'],
    ['Canceled', 'cancelled'],
    ['CANCELLED', 'cancelled'],
    ['Suspended', 'suspended'],
    ['Cancelling', 'unknown'],
    ['Not completed', 'unknown'],
    ['constructor', 'unknown'],
    ['', 'unknown'],
    [undefined, 'unknown'],
  ])('%s means %s', (word, meaning) => expect(classifyStatus(word)).toBe(meaning));

  test('overrides come first, spelled as tolerantly', () => {
    const overrides = { 'Ready for download': 'completed', done: 'unknown' } as const;
    expect(classifyStatus('READY_FOR_DOWNLOAD', overrides)).toBe('completed');
    expect(classifyStatus('Done', overrides)).toBe('unknown');
    expect(classifyStatus('Failed', overrides)).toBe('failed');
  });

  test('case and separators never matter', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('in progress', 'completed', 'failed', 'cancelled', 'suspended', 'queued'),
        fc.array(fc.constantFrom('', ' ', '_', '-'), { minLength: 20, maxLength: 20 }),
        fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
        (word, separators, upper) => {
          const spelled = Array.from(word)
            .map((letter, i) => (upper[i] === true ? letter.toUpperCase() : letter) + (separators[i] ?? ''))
            .join('');
          expect(classifyStatus(spelled)).toBe(classifyStatus(word));
        },
      ),
    );
  });
});

describe('paths', () => {
  test('whatever the name, it stays one segment and comes back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        fc.pre(isPathSafe(name));
        const url = new URL(`https://gapi.test/udm${fillRoute('GET', '/v10/files/{name}', { name })}`);
        expect(url.search + url.hash).toBe('');
        const segments = url.pathname.split('/');
        expect(segments.slice(0, 4)).toEqual(['', 'udm', 'v10', 'files']);
        expect(segments).toHaveLength(5);
        expect(decodeURIComponent(segments[4] ?? '')).toBe(name);
      }),
    );
  });

  test.each([['..'], ['.'], [''], ['a/..'], ['../a'], ['a\\..\\b'], ['\ud800']])(
    '%j is no segment',
    (name) => {
      expect(isPathSafe(name)).toBe(false);
    },
  );

  test.each([['...'], ['..a'], ['%2e%2e'], ['a/b']])('%j is one', (name) =>
    expect(isPathSafe(name)).toBe(true),
  );

  test('a query comes back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        const url = new URL(`https://gapi.test/x${encodeQuery({ title: value, skipped: undefined })}`);
        expect([...url.searchParams]).toEqual([['title', value]]);
      }),
    );
  });
});

describe('bodies', () => {
  test('an envelope changes nothing about what is inside', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const data = JSON.parse(JSON.stringify(value)) as unknown;
        expect(unwrap({ status: { code: 0 }, data }).data).toEqual(data);
      }),
    );
  });

  test('JSON comes back as it was', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const text = JSON.stringify(value);
        // Integers beyond 2^53 are kept as text on purpose.
        fc.pre(!/\d{16}/.test(text));
        expect(parseJson(Buffer.from(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  test.each([
    ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00.000Z'],
    ['2026-01-01T02:00:00+0200', '2026-01-01T00:00:00.000Z'],
    ['2026-01-01', '2026-01-01T00:00:00.000Z'],
    ['2026', '2026-01-01T00:00:00.000Z'],
    [1767225600000, '2026-01-01T00:00:00.000Z'],
    ['1767225600000', '2026-01-01T00:00:00.000Z'],
    ['soon', undefined],
    [{}, undefined],
    [9e99, undefined],
  ])('the date %j', (value, iso) => expect(asDate(value)?.toISOString()).toBe(iso));
});

describe('waits', () => {
  test('full jitter: anything from nothing to the bound, which doubles up to 20 s', () => {
    expect(backoffMs(1, 500, undefined, () => 0)).toBe(0);
    expect(backoffMs(1, 500, undefined, () => 1)).toBe(500);
    expect(backoffMs(3, 500, undefined, () => 1)).toBe(2000);
    expect(backoffMs(30, 500, undefined, () => 1)).toBe(20_000);
  });

  test('what the upstream asks for is waited in full', () => {
    expect(backoffMs(1, 500, 3000, () => 0)).toBe(3000);
    expect(backoffMs(1, 500, 3000, () => 1)).toBe(3500);
  });

  test('Retry-After in seconds or as a date', () => {
    expect(parseRetryAfter('3')).toBe(3000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:05 GMT', Date.UTC(2026, 0, 1))).toBe(5000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:00 GMT', Date.UTC(2027, 0, 1))).toBe(0);
    expect(parseRetryAfter('soon')).toBeUndefined();
    expect(parseRetryAfter(undefined)).toBeUndefined();
  });

  test('a turn at the rate limit ends with the signal', async () => {
    const limiter = createRateLimiter(0.001, () => 0);
    await limiter.take(AbortSignal.timeout(1000));
    await expect(limiter.take(AbortSignal.abort(new Error('no')))).rejects.toThrow('no');
    await expect(limiter.take(AbortSignal.timeout(5))).rejects.toThrow('aborted');
  });
});
