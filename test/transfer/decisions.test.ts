import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bandwidth } from '../../src/transfer/bandwidth.ts';
import { intoLanes, Memory, usualMemory } from '../../src/transfer/memory.ts';
import { Pace, partSizeAtPace } from '../../src/transfer/pace.ts';
import { firstParallelism, nextParallelism } from '../../src/transfer/parallelism.ts';

const MiB = 1024 * 1024;

describe('parts in flight', () => {
  /** Where it settles, on a link that gives so many bytes per second to so many connections. */
  function settle(rateOf: (connections: number) => number, most: number, rounds = 200): number[] {
    let now = firstParallelism(most);
    const limits: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      now = nextParallelism(now, rateOf(now.limit), most);
      limits.push(now.limit);
    }
    return limits;
  }

  test('grow as long as each connection brings its own bytes', () => {
    expect(Math.max(...settle((connections) => connections * MiB, 16))).toBe(16);
  });

  test('stay few on a link that is full, trying one more now and then', () => {
    const limits = settle(() => 100 * MiB, 16);
    expect(Math.max(...limits)).toBe(5);
    expect(limits.filter((limit) => limit === 5).length).toBeLessThan(limits.length / 4);
  });

  test('are halved when the rate breaks down, and come back', () => {
    let now = firstParallelism(8);
    for (let round = 0; round < 3; round += 1) now = nextParallelism(now, now.limit * MiB, 8);
    const before = now.proven;
    now = nextParallelism({ ...now, limit: before }, 0.1 * MiB, 8);
    expect(now.limit).toBe(Math.floor(before / 2));
    for (let round = 0; round < 100; round += 1) now = nextParallelism(now, now.limit * MiB, 8);
    expect(now.limit).toBe(8);
  });

  test('are always from one to the most', () => {
    const rates = fc.array(fc.double({ min: 0, max: 1e10, noNaN: true }), { maxLength: 100 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), rates, (most, given) => {
        let now = firstParallelism(most);
        for (const rate of given) {
          now = nextParallelism(now, rate, most);
          expect(now.limit).toBeGreaterThanOrEqual(1);
          expect(now.limit).toBeLessThanOrEqual(most);
        }
      }),
    );
  });
});

describe('the bandwidth limit', () => {
  test('grants no more than its rate over any time, and whoever comes late has lost nothing', () => {
    let clock = 0;
    const limit = new Bandwidth(1000, () => clock);
    expect(limit.take(500)).toBe(0);
    expect(limit.take(500)).toBe(500);
    expect(limit.take(1000)).toBe(1000);
    clock = 10_000;
    // Time in which nobody read is not saved up.
    expect(limit.take(2000)).toBe(0);
    expect(limit.take(1)).toBe(2000);
  });
});

describe('the size of parts', () => {
  const bounds = { parallel: 8, most: 80 * MiB };
  const size = (worthwhile: number | undefined, length: number, usual = 8 * MiB) =>
    partSizeAtPace(usual, worthwhile, length, bounds) / MiB;

  test('follows what parts achieve, within what memory and parallel reading leave', () => {
    expect(size(undefined, 1024 * MiB)).toBe(8);
    // A slow link: half a second moves a megabyte.
    expect(size(MiB, 1024 * MiB)).toBe(8);
    expect(size(20 * MiB, 1024 * MiB)).toBe(16);
    // A fast one: two rounds of eight.
    expect(size(500 * MiB, 1024 * MiB)).toBe(64);
    expect(size(500 * MiB, 100 * MiB)).toBe(8);
    expect(size(500 * MiB, 100_000 * MiB)).toBe(64);
    // What the length demands is never cut.
    expect(size(500 * MiB, 5_000_000 * MiB, 500 * MiB)).toBe(500);
  });

  test('is of few kinds, whatever the pace', () => {
    const kinds = new Set(Array.from({ length: 200 }, (_, n) => size(n * MiB, 10_000 * MiB)));
    expect([...kinds]).toEqual([8, 16, 32, 64]);
  });

  test('a single slow part hardly counts, and a change of the link does soon', () => {
    const pace = new Pace();
    expect(pace.worthwhile).toBeUndefined();
    for (let n = 0; n < 20; n += 1) pace.note(8 * MiB, 100);
    expect(pace.worthwhile).toBeCloseTo(40 * MiB, -3);
    pace.note(8 * MiB, 10_000);
    expect(pace.worthwhile).toBeGreaterThan(30 * MiB);
    for (let n = 0; n < 20; n += 1) pace.note(8 * MiB, 1000);
    expect(pace.worthwhile).toBeLessThan(6 * MiB);
  });
});

describe('memory', () => {
  test('is a quarter of what there is, within bounds', () => {
    expect(usualMemory(512 * MiB)).toBe(128 * MiB);
    expect(usualMemory(100 * MiB)).toBe(64 * MiB);
    expect(usualMemory(64 * 1024 * MiB)).toBe(512 * MiB);
  });

  test('is divided so that neither kind of file waits for the other', () => {
    expect(intoLanes(128 * MiB)).toMatchObject({ small: { total: 32 * MiB }, large: { total: 96 * MiB } });
    expect(intoLanes(16 * MiB)).toMatchObject({ small: { total: 4 * MiB }, large: { total: 12 * MiB } });
  });

  test('lends the same buffers again, and exactly as many bytes as asked for', async () => {
    const memory = new Memory(32 * MiB);
    const first = await memory.lend(8 * MiB - 5);
    expect(first.buffer).toHaveLength(8 * MiB - 5);
    const { buffer } = first.buffer;
    first.release();
    first.release();
    expect(memory.used).toBe(0);
    const second = await memory.lend(8 * MiB);
    expect(second.buffer.buffer).toBe(buffer);
    expect(memory.used).toBe(8 * MiB);
    // Also when there is no more than that.
    const narrow = new Memory(8 * MiB);
    const all = await narrow.lend(8 * MiB);
    const next = narrow.lend(8 * MiB);
    all.release();
    expect((await next).buffer.buffer).toBe(all.buffer.buffer);
  });

  test('keeps no spare buffers beyond its total, whatever sizes come', async () => {
    const memory = new Memory(16 * MiB);
    for (let size = 1; size <= 16; size += 1) (await memory.lend(size * MiB)).release();
    expect(memory.spare + memory.used).toBeLessThanOrEqual(16 * MiB);
    const held = await memory.lend(12 * MiB);
    expect(memory.spare + memory.used).toBeLessThanOrEqual(16 * MiB);
    held.release();
  });
});
